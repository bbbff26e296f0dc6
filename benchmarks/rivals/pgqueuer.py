"""PgQueuer."""

import json
import os
import sys
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["pgqueuer[asyncpg,cli]", "uvloop"]
DRIVERS = ("postgres",)
VERSIONS = {"postgres": ["pgqueuer", "asyncpg", "uvloop"]}
WORKER = ["{python}", "-m", "benchmarks.rivals.pgqueuer", "{concurrency}", "{double}"]
IO = ["{python}", "-m", "benchmarks.rivals.pgqueuer", "{half}", "{concurrency}"]
SETTINGS = (
    "its API, since `pgq run` fails here; uvloop; it wants at least two batches at once: the batch is the concurrency, "
    "and twice that runs, which is faster; in W4 the batch is half of it"
)
CRASH = "run again when their heartbeat is 30 s old"

BODIES = {"noop": bodies.noop, "stamp": bodies.stamp, "io": bodies.io, "cpu": bodies.cpu_async}


async def work(batch, most):
    app = PgQueuer(AsyncpgDriver(await asyncpg.connect(os.environ[URL])))
    for name, body in BODIES.items():

        def entry(body):
            async def run(job):
                await body(*json.loads(job.payload))

            return run

        app.entrypoint(name)(entry(body))
    await app.run(batch_size=batch, max_concurrent_tasks=most)


@asynccontextmanager
async def producer():
    own = await asyncpg.connect(os.environ[URL])
    alone = Queries(AsyncpgDriver(own))
    if not await own.fetchval("select to_regclass('pgqueuer')"):
        await alone.install()
    async with asyncpg.create_pool(os.environ[URL], min_size=10, max_size=10) as pool:
        pooled = Queries(AsyncpgPoolDriver(pool))

        async def one(name, *args):
            await alone.enqueue(name, json.dumps(args).encode())

        async def crowded(name, *args):
            await pooled.enqueue(name, json.dumps(args).encode())

        async def many(name, calls):
            payloads = [json.dumps(args).encode() for args in calls]
            await alone.enqueue([name] * len(calls), payloads, [0] * len(calls))

        yield Producer(one, many, crowded)
    await own.close()


if __name__ == "__main__":
    uvloop.run(work(*map(int, sys.argv[1:])))

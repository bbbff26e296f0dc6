"""saq: Redis and PostgreSQL."""

import os
from contextlib import asynccontextmanager

from .. import bodies
from ..contend import CONCURRENCY, URL, Producer

PACKAGES = ["saq[redis,postgres,hiredis]", "psycopg[binary,pool]"]
DRIVERS = ("redis", "postgres")
VERSIONS = {"redis": ["saq", "redis", "hiredis"], "postgres": ["saq", "psycopg", "psycopg-binary"]}
WORKER = ["{bin}/saq", "benchmarks.rivals.saq.settings", "--quiet"]
SETTINGS = "ttl -1 (results are not kept), hiredis or psycopg's C, --quiet"
CRASH = "aborted by the sweeper once their timeout (10 s) has passed"


def job(name, body):
    async def run(ctx, *, args):
        await body(*args)

    return name, run


def queue():
    if os.environ["BENCH_DRIVER"] == "redis":
        from saq.queue.redis import RedisQueue

        return RedisQueue.from_url(os.environ[URL], max_concurrent_ops=100)
    from saq.queue.postgres import PostgresQueue

    return PostgresQueue.from_url(os.environ[URL], min_size=10, max_size=20)


FUNCTIONS = [
    job("noop", bodies.noop),
    job("stamp", bodies.stamp),
    job("io", bodies.io),
    job("cpu", bodies.cpu_async),
]


def __getattr__(name):
    if name != "settings":
        raise AttributeError(name)
    return {"queue": queue(), "functions": FUNCTIONS, "concurrency": int(os.environ[CONCURRENCY])}


@asynccontextmanager
async def producer():
    own = queue()
    await own.connect()
    yield Producer(lambda name, *args: own.enqueue(name, args=args, ttl=-1))
    await own.disconnect()

"""streaq."""

import os
from contextlib import asynccontextmanager

from streaq import Worker

from .. import bodies
from ..contend import CONCURRENCY, URL, Producer

PACKAGES = ["streaq", "uvloop"]
DRIVERS = ("redis",)
VERSIONS = {"redis": ["streaq", "coredis", "uvloop"]}
WORKER = ["{bin}/streaq", "run", "benchmarks.rivals.streaq:worker"]
SETTINGS = "prefetch 1,000, uvloop, ttl 0 (results are not kept), silent tasks"
CRASH = "run again after idle_timeout, 60 s"

worker = Worker(
    redis_url=os.environ.get(URL, "redis://localhost"),
    concurrency=int(os.environ.get(CONCURRENCY, "10")),
    prefetch=1000,
    anyio_kwargs={"use_uvloop": True},
)

TASKS = {
    name: worker.task(name=name, ttl=0, silent=True)(body)
    for name, body in {
        "noop": bodies.noop,
        "stamp": bodies.stamp,
        "io": bodies.io,
        "cpu": bodies.cpu_async,
    }.items()
}


@asynccontextmanager
async def producer():
    async with worker:

        async def one(name, *args):
            await TASKS[name].enqueue(*args)

        async def many(name, calls):
            await worker.enqueue_many([TASKS[name].enqueue(*args) for args in calls])

        yield Producer(one, many)

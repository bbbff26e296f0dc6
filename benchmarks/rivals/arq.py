"""arq."""

import os
from contextlib import asynccontextmanager

from arq import create_pool, func
from arq.connections import RedisSettings

from .. import bodies
from ..contend import CONCURRENCY, URL, Producer

PACKAGES = ["arq", "redis[hiredis]"]
DRIVERS = ("redis",)
VERSIONS = {"redis": ["arq", "redis", "hiredis"]}
WORKER = ["{bin}/arq", "benchmarks.rivals.arq.Worker", "--custom-log-dict=benchmarks.rivals.arq.LOGS"]
SETTINGS = "poll_delay 5 ms instead of 500, keep_result 0, log level WARNING"
CRASH = "run again 10 s after job_timeout, 300 s, has passed"

LOGS = {"version": 1, "root": {"level": "WARNING"}}


def job(body):
    async def run(ctx, *args):
        await body(*args)

    return func(run, name=body.__name__.removesuffix("_async"), keep_result=0)


class Worker:
    """What arq's command line wants."""

    functions = [job(bodies.noop), job(bodies.stamp), job(bodies.io), job(bodies.cpu_async)]
    redis_settings = RedisSettings.from_dsn(os.environ.get(URL, "redis://localhost"))
    max_jobs = int(os.environ.get(CONCURRENCY, "10"))
    poll_delay = 0.005
    keep_result = 0


@asynccontextmanager
async def producer():
    pool = await create_pool(Worker.redis_settings)
    yield Producer(pool.enqueue_job)
    await pool.aclose()

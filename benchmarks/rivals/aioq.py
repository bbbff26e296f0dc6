"""aioq."""

import os
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aioq import Aarq
from aioq.backends import MySQLBroker

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["aioq[mysql]"]
DRIVERS = ("mysql",)
VERSIONS = {"mysql": ["aioq", "aiomysql", "pymysql"]}
WORKER = [
    "{bin}/aioq",
    "worker",
    "benchmarks.rivals.aioq:app",
    "--concurrency={concurrency}",
    "--log-level=warning",
]
SETTINGS = "log level warning"
CRASH = "never run again"

at = urlsplit(os.environ[URL])
app = Aarq(
    broker=MySQLBroker(
        host=at.hostname, port=at.port, user=at.username, password=at.password, db=at.path[1:], min_size=10
    )
)


def job(body):
    async def run(ctx, *args, **kwargs):
        await body(*args, **kwargs)

    run.__qualname__ = body.__name__.removesuffix("_async")
    return app.task()(run)


TASKS = {name: job(body) for name, body in [("noop", bodies.noop), ("stamp", bodies.stamp), ("io", bodies.io)]}
TASKS["cpu"] = job(bodies.cpu_async)


@asynccontextmanager
async def producer():
    await app.broker.connect()
    yield Producer(lambda name, *args: TASKS[name].enqueue(*args), lambda name, calls: TASKS[name].enqueue_many(calls))
    await app.broker.disconnect()

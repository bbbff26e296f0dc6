"""Procrastinate."""

import os
from contextlib import asynccontextmanager

from procrastinate import App, PsycopgConnector

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["procrastinate", "psycopg[binary,pool]"]
DRIVERS = ("postgres",)
VERSIONS = {"postgres": ["procrastinate", "psycopg", "psycopg-binary"]}
WORKER = [
    "{bin}/procrastinate",
    "--app=benchmarks.rivals.procrastinate.app",
    "--log-level=warning",
    "worker",
    "--concurrency={concurrency}",
    "--delete-jobs=always",
]
SETTINGS = "psycopg's C, --delete-jobs=always, log level warning"
CRASH = "stay where they are until a job of one's own retries stalled ones"

app = App(connector=PsycopgConnector(conninfo=os.environ[URL], min_size=4, max_size=20))

TASKS = {
    "noop": app.task(name="noop")(bodies.noop),
    "stamp": app.task(name="stamp")(bodies.stamp),
    "io": app.task(name="io")(bodies.io),
    "cpu": app.task(name="cpu")(bodies.cpu_async),
}

NAMES = ("id", "sent")


def named(args):
    return dict(zip(NAMES, args, strict=False))


@asynccontextmanager
async def producer():
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        yield Producer(
            lambda name, *args: TASKS[name].defer_async(**named(args)),
            lambda name, calls: TASKS[name].batch_defer_async(*map(named, calls)),
        )

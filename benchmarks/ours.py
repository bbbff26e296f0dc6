"""asyncdq itself, as its documentation says, with default settings."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from asyncdq import Client, Task, task

from . import bodies
from .contend import URL, Producer

PACKAGES = ()
DRIVERS = ("redis", "postgres", "sqlite", "rabbitmq", "mysql", "sqs")
VERSIONS = {
    "redis": ["asyncdq", "redis", "hiredis"],
    "postgres": ["asyncdq", "asyncpg"],
    "sqlite": ["asyncdq", "sqlite3"],
    "rabbitmq": ["asyncdq", "aio-pika", "aiormq"],
    "mysql": ["asyncdq", "aiomysql", "pymysql"],
    "sqs": ["asyncdq", "aiobotocore"],
}
WORKER = ["{python}", "-m", "asyncdq", "worker", "benchmarks.ours", "--url", "{url}", "--concurrency", "{concurrency}"]
CPU = ["{python}", "-m", "asyncdq", "worker", "benchmarks.ours", "--url", "{url}", "--process-pool-size", "2"]
SETTINGS = {
    "postgres": "defaults; among them a log line per success, for a thousand of each second; enqueues, retries and "
    "burials wait for the disk as the server says, claims, renewals and completions do not (synchronous_commit off)",
    "": "defaults; among them a log line per success, for a thousand of each second",
}
CRASH = "run again when their leases end"

noop = task(bodies.noop)
stamp = task(bodies.stamp)
io = task(bodies.io)


@task(process=True)
def cpu(id: int) -> None:
    """`cpu` in the process pool, whose children look for a task in the module that it says it is of."""
    bodies.cpu(id)


TASKS: dict[str, Task[Any, Any, Any]] = {"noop": noop, "stamp": stamp, "io": io, "cpu": cpu}


@asynccontextmanager
async def producer() -> AsyncGenerator[Producer]:
    """A client with default settings."""
    async with Client.from_url(os.environ[URL]) as client:

        async def one(name: str, *args: Any) -> None:
            await TASKS[name].enqueue(*args)

        async def many(name: str, calls: list[tuple[Any, ...]]) -> None:
            await client.enqueue_many([TASKS[name].bind(*args) for args in calls])

        yield Producer(one, many)

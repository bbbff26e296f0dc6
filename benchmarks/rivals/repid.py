"""repid."""

import asyncio
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

from repid import RedisServer, Repid, Router

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["repid[redis]", "redis[hiredis]", "typing_extensions"]
DRIVERS = ("redis",)
VERSIONS = {"redis": ["repid", "redis", "hiredis"]}
WORKER = ["{python}", "-m", "benchmarks.rivals.repid", "{concurrency}"]
CPU = ["{python}", "-m", "benchmarks.rivals.repid", "10"]
SETTINGS = "batch_size 1,000, hiredis; CPU tasks run in a ProcessPoolExecutor of two, ten at a time wait for it"
CRASH = "never run again: claim_interval is 0 by default"

app = Repid(title="bench", version="1")
app.servers.register_server("default", RedisServer(os.environ[URL], batch_size=1000), is_default=True)
router = Router()


@router.actor(channel="default")
async def noop(id: int) -> None:
    await bodies.noop(id)


@router.actor(channel="default")
async def stamp(id: int, sent: float) -> None:
    await bodies.stamp(id, sent)


@router.actor(channel="default")
async def io(id: int) -> None:
    await bodies.io(id)


@router.actor(channel="default", pool_executor=ProcessPoolExecutor(2))
def cpu(id: int) -> None:
    bodies.cpu(id)


app.include_router(router)

NAMES = ("id", "sent")


@asynccontextmanager
async def producer():
    async with app.servers.default.connection():

        async def one(name, *args):
            payload = dict(zip(NAMES, args, strict=False))
            await app.send_message_json(channel="default", payload=payload, headers={"topic": name})

        yield Producer(one)


async def work(concurrency):
    async with app.servers.default.connection():
        await app.run_worker(tasks_limit=concurrency)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))

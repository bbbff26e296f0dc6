"""Redis: a list, and a sorted set of what is leased, in one script per round trip."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

from ..contend import URL, Producer
from ..tally import note

PACKAGES = ()
DRIVERS = ("redis",)
VERSIONS = {"redis": ["redis", "hiredis"]}
WORKER = ["{python}", "-m", "benchmarks.floors.redis", "{concurrency}"]
SETTINGS = "redis-py with hiredis; completes a batch and claims the next in one call"
CRASH = "stay leased"

Redis: Any = redis.asyncio.Redis  # its own types are unknown in part

# What is done is deleted; what is claimed has a lease.
STEP = """
if #ARGV > 2 then redis.call('zrem', KEYS[2], unpack(ARGV, 3)) end
local claimed = redis.call('lpop', KEYS[1], ARGV[1])
if not claimed then return {} end
for _, body in ipairs(claimed) do redis.call('zadd', KEYS[2], ARGV[2], body) end
return claimed
"""


@asynccontextmanager
async def producer() -> AsyncGenerator[Producer]:
    """A push, awaited."""
    async with Redis.from_url(os.environ[URL]) as client:

        async def one(name: str, *args: Any) -> None:
            await client.rpush("ready", json.dumps(args))

        async def many(name: str, calls: list[tuple[Any, ...]]) -> None:
            await client.rpush("ready", *map(json.dumps, calls))

        yield Producer(one, many)


async def work(concurrency: int) -> None:
    """Claims, runs nothing, completes."""
    async with Redis.from_url(os.environ[URL]) as client:
        step = client.register_script(STEP)
        done: list[bytes] = []
        while True:
            done = await step(keys=["ready", "leased"], args=[concurrency, time.time() + 60, *done])
            for body in done:
                note(*json.loads(body))
            if not done:
                await asyncio.sleep(0.001)  # it has nothing to wait for


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))

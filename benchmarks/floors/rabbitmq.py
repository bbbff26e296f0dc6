"""RabbitMQ: one quorum queue; what is not acknowledged comes back when the connection ends."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage

from ..contend import URL, Producer
from ..tally import note

PACKAGES = ()
DRIVERS = ("rabbitmq",)
VERSIONS = {"rabbitmq": ["aiormq"]}
WORKER = ["{python}", "-m", "benchmarks.floors.rabbitmq", "{concurrency}"]
SETTINGS = "aiormq; a quorum queue, confirms, prefetch twice the concurrency, one acknowledgement per batch"
CRASH = "redelivered at once"


async def declared() -> tuple[Any, Any]:
    """A connection and a channel on which the queue exists."""
    connection = await aiormq.connect(os.environ[URL])
    channel = await connection.channel(publisher_confirms=True)
    await channel.queue_declare("floor", durable=True, arguments={"x-queue-type": "quorum"})
    return connection, channel


@asynccontextmanager
async def producer() -> AsyncGenerator[Producer]:
    """A publish that is confirmed."""
    connection, channel = await declared()
    properties = aiormq.spec.Basic.Properties(delivery_mode=2)

    async def one(name: str, *args: Any) -> None:
        await channel.basic_publish(json.dumps(args).encode(), routing_key="floor", properties=properties)

    async def many(name: str, calls: list[tuple[Any, ...]]) -> None:
        await asyncio.gather(*(one(name, *args) for args in calls))

    yield Producer(one, many)
    await connection.close()


async def work(concurrency: int) -> None:
    """Takes what comes, runs nothing, acknowledges what came meanwhile."""
    _, channel = await declared()
    await channel.basic_qos(prefetch_count=2 * concurrency)
    arrived: asyncio.Queue[int] = asyncio.Queue()

    async def take(message: DeliveredMessage) -> None:
        note(*json.loads(message.body))
        arrived.put_nowait(message.delivery_tag or 0)

    await channel.basic_consume("floor", take)
    while True:
        tag = await arrived.get()
        while not arrived.empty():
            tag = arrived.get_nowait()
        await channel.basic_ack(tag, multiple=True)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))

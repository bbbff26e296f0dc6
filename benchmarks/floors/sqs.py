"""SQS: batches of ten, as many at a time as it takes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiobotocore.session import get_session

from ..contend import URL, Producer
from ..tally import note

PACKAGES = ()
DRIVERS = ("sqs",)
VERSIONS = {"sqs": ["aiobotocore"]}
WORKER = ["{python}", "-m", "benchmarks.floors.sqs", "{concurrency}"]
SETTINGS = "aiobotocore; batches of ten, two receivers per ten of concurrency, at most ten"
CRASH = "stay leased"


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Any, str]]:
    """A client, and the URL of the queue."""
    options = {name: values[0] for name, values in parse_qs(urlsplit(os.environ[URL]).query).items()}
    keys = ("endpoint_url", "aws_access_key_id", "aws_secret_access_key")
    told = {key: options[key] for key in keys}
    async with get_session().create_client("sqs", region_name="us-east-1", **told) as client:
        queue = await client.create_queue(QueueName=f"{options['prefix']}floor")
        yield client, queue["QueueUrl"]


@asynccontextmanager
async def producer() -> AsyncGenerator[Producer]:
    """A message, or ten."""
    async with opened() as (client, queue):

        async def one(name: str, *args: Any) -> None:
            await client.send_message(QueueUrl=queue, MessageBody=json.dumps(args))

        async def ten(calls: list[tuple[Any, ...]]) -> None:
            entries = [{"Id": f"{number}", "MessageBody": json.dumps(args)} for number, args in enumerate(calls)]
            await client.send_message_batch(QueueUrl=queue, Entries=entries)

        async def many(name: str, calls: list[tuple[Any, ...]]) -> None:
            for start in range(0, len(calls), 100):
                part = calls[start : start + 100]
                await asyncio.gather(*(ten(part[at : at + 10]) for at in range(0, len(part), 10)))

        yield Producer(one, many)


async def work(concurrency: int) -> None:
    """Claims, runs nothing, completes."""
    async with opened() as (client, queue):

        async def receive() -> None:
            while True:
                answer = await client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                messages = answer.get("Messages", [])
                for message in messages:
                    note(*json.loads(message["Body"]))
                if messages:
                    entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
                    await client.delete_message_batch(QueueUrl=queue, Entries=entries)

        await asyncio.gather(*(receive() for _ in range(min(10, max(2, concurrency // 5)))))


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))

"""asyncdq as part of an application: a worker in the process, and in the event loop, that enqueues."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from asyncdq import Client, Worker

from .contend import URL, Producer
from .ours import TASKS


@asynccontextmanager
async def producer() -> AsyncGenerator[Producer]:
    """A client and a worker on one driver, with default settings."""
    async with Client.from_url(os.environ[URL]) as client:
        worker = Worker(queue_driver=client.driver)
        working = asyncio.create_task(worker.start(handle_signals=False))

        async def one(name: str, *args: Any) -> None:
            await TASKS[name].enqueue(*args)

        yield Producer(one)
        worker.stop()
        await working
        await Worker(queue_driver=client.driver, burst=True).start()  # what it had not claimed

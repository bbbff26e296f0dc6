"""Waiting for the end of an outage."""

from __future__ import annotations

import asyncio

from asyncdq.drivers.base import BaseDriver
from asyncdq.errors import ConnectionLost
from asyncdq.testing.claims import message


async def ready_again(driver: BaseDriver, within: float = 20.0) -> None:
    """Return when the driver answers and takes messages; asked until it does."""
    async with asyncio.timeout(within):
        while True:
            try:
                await driver.stats("work")
                await driver.enqueue([message("probe", "probes")])
            except ConnectionLost:
                await asyncio.sleep(0.05)  # between two tries, as a worker makes them
            else:
                return

"""Outcomes on their way to the backend, merged into one round trip after another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import Enum

from ..batcher import Batcher
from ..drivers.base import BaseDriver
from ..message import Delivery, Outcome
from .outage import Outage

_log = logging.getLogger("asyncdq.worker")

Item = tuple[Delivery, Outcome]

SHARED = 32
"""Outcomes that are always worth a trip of their own."""


class Settled(Enum):
    """What became of an outcome."""

    WRITTEN = "written"
    LOST = "the delivery was no longer ours: somebody else has it"
    UNSURE = "not ours any more, perhaps because an earlier try had worked"
    FAILED = "the backend refuses this outcome"


class Settler:
    """Writes outcomes. A lost connection retries the batch whole, any other error splits it: one bad
    outcome never stops the others.

    A task keeps its slot until its outcome is written. So one trip takes those of half the `slots`: the other half
    runs meanwhile, and worker and backend need not wait for each other.
    """

    def __init__(self, driver: BaseDriver, outage: Outage, slots: int) -> None:
        self._driver = driver
        self._outage = outage
        most = min(driver.limits.batch, max(SHARED, slots // 2))
        self._batcher: Batcher[Item, Settled] = Batcher(self._send, most)

    def put(self, delivery: Delivery, outcome: Outcome, done: Callable[[Settled], None]) -> None:
        """Write this outcome with the next batch; `done` hears what became of it."""

        def hear(result: Settled | BaseException) -> None:
            if isinstance(result, BaseException):
                _log.error("%s: its outcome could not be written", delivery.id, exc_info=result)
                result = Settled.FAILED
            done(result)

        self._batcher.put((delivery, outcome), hear)

    async def drain(self, timeout: float) -> bool:
        """Return True when everything is written; False after `timeout` seconds, and the rest is abandoned."""
        try:
            async with asyncio.timeout(timeout):
                await self._batcher.drain()
        except TimeoutError:
            self._batcher.abandon()
            return False
        return True

    async def _send(self, batch: list[Item], tried: bool = False) -> Sequence[Settled | BaseException]:
        """`tried`: an earlier call may have written some of it."""
        try:
            lost, lost_tries = await self._outage.persist(lambda: self._driver.settle(batch))
        except Exception as error:
            return [error] if len(batch) == 1 else [(await self._send([item], tried=True))[0] for item in batch]
        return _results(batch, lost, Settled.UNSURE if tried or lost_tries else Settled.LOST)


def _results(batch: list[Item], lost: list[Delivery], meaning: Settled) -> list[Settled]:
    if not lost:
        return [Settled.WRITTEN] * len(batch)
    gone = set(lost)
    return [meaning if delivery in gone else Settled.WRITTEN for delivery, _ in batch]

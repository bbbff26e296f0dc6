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

WARM = 10
"""Trips that went well, for each that will be under way, before a batch counts as sent when it has been handed over: a
new connection has to be made, and to learn the statements, before it sends anything. Where each trip takes one, some
of the first ones may still wait for theirs."""

AT_ONCE = 16
"""Trips under way, at most, while tasks wait for slots, where outcomes that are on their way are as good as written."""

TURNS = 2
"""Turns of the event loop after which a driver has written what was handed over: it writes in the first."""


class Settled(Enum):
    """What became of an outcome."""

    WRITTEN = "written"
    LOST = "the delivery was no longer ours: somebody else has it"
    UNSURE = "not ours any more, perhaps because an earlier try had worked"
    FAILED = "the backend refuses this outcome"


class Settler:
    """Writes outcomes. A lost connection retries the batch whole, any other error splits it: one bad
    outcome never stops the others.

    `unsent` counts those that would be lost if this process died now, and their tasks repeated; `on_sent` hears when
    they become fewer. An outcome is one of them until it is written; or, where the backend carries out what it was
    sent, until it is on its way, as far as can be told from here: a call that has to prepare something first is later.
    """

    def __init__(self, driver: BaseDriver, outage: Outage) -> None:
        self._driver = driver
        self._outage = outage
        self._loop = asyncio.get_running_loop()
        self._batcher: Batcher[Item, Settled] = Batcher(self._send_first, driver.limits.batch)
        self._under_way = 0
        self._good_trips = 0
        self.unsent = 0
        self.on_sent: Callable[[], None] = lambda: None

    def put(self, delivery: Delivery, outcome: Outcome, done: Callable[[Settled], None], within: float = 0.0) -> None:
        """Write this outcome with the next batch, `within` seconds if it has time; `done` hears what became of it."""

        def hear(result: Settled | BaseException) -> None:
            if isinstance(result, BaseException):
                _log.error("%s: its outcome could not be written", delivery.id, exc_info=result)
                result = Settled.FAILED
            done(result)

        self.unsent += 1
        self._batcher.put((delivery, outcome), hear, within)

    def hurry(self, slots: int) -> None:
        """Tasks wait for a slot: if half of the slots are those of unsent outcomes, send another trip now."""
        if 2 * self.unsent >= slots and self._sends_ahead(0):
            self._batcher.hurry(min(AT_ONCE, self._driver.limits.keeps_sent))

    async def drain(self, timeout: float) -> bool:
        """Return True when everything is written; False after `timeout` seconds, and the rest is abandoned."""
        try:
            async with asyncio.timeout(timeout):
                await self._batcher.drain()
        except TimeoutError:
            self._batcher.abandon()
            return False
        return True

    def _sends_ahead(self, others: int) -> bool:
        """Whether what is handed over now, with so many others under way, is written at once."""
        return others < self._driver.limits.keeps_sent and self._good_trips >= WARM * (others + 1)

    async def _send_first(self, batch: list[Item]) -> Sequence[Settled | BaseException]:
        others = self._under_way
        early = self._sends_ahead(others)
        if early:
            self._release(len(batch), turns=TURNS)
        self._under_way += 1
        try:
            results = await self._send(batch)
        finally:
            self._under_way -= 1
            if not early:
                self._release(len(batch))
        self._good_trips += 1
        return results

    def _release(self, count: int, turns: int = 0) -> None:
        if turns:
            self._loop.call_soon(self._release, count, turns - 1)
            return
        self.unsent -= count
        self.on_sent()

    async def _send(self, batch: list[Item], tried: bool = False) -> Sequence[Settled | BaseException]:
        """`tried`: an earlier call may have written some of it."""
        try:
            lost, lost_tries = await self._outage.persist(lambda: self._driver.settle(batch))
        except Exception as error:
            self._good_trips = 0
            return [error] if len(batch) == 1 else [(await self._send([item], tried=True))[0] for item in batch]
        if lost_tries:
            self._good_trips = 0
        return _results(batch, lost, Settled.UNSURE if tried or lost_tries else Settled.LOST)


def _results(batch: list[Item], lost: list[Delivery], meaning: Settled) -> list[Settled]:
    if not lost:
        return [Settled.WRITTEN] * len(batch)
    gone = set(lost)
    return [meaning if delivery in gone else Settled.WRITTEN for delivery, _ in batch]

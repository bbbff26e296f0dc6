"""Outcomes on their way to the backend, merged into one round trip after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from enum import Enum
from functools import partial

from ..batcher import Batcher
from ..drivers.base import BaseDriver
from ..errors import Blocked, ConnectionLost
from ..message import Delivery, Outcome
from .log import log
from .outage import STUBBORN, Outage

Item = tuple[Delivery, Outcome]

PAUSE = 0.5
"""Seconds after a try of what was put aside that was in vain, before the next one of it or of another."""

AT_ONCE = 16
"""Trips under way, at most, while tasks wait for slots, where outcomes that are on their way are as good as written."""


class Settled(Enum):
    """What became of an outcome."""

    WRITTEN = "written"
    LOST = "the delivery was no longer ours: somebody else has it"
    UNSURE = "not ours any more, perhaps because an earlier try had worked"
    FAILED = "the backend refuses this outcome"


class _Aside(Exception):
    """This outcome is to be tried by itself, and has been put aside for that."""


class Settler:
    """Writes outcomes. A lost connection retries the batch whole. After any other error, and while other calls go
    through but not this one, as where somebody keeps a row locked, its outcomes are put aside and tried one by one, in
    turn, beside those that come later: neither a bad outcome nor one that is held up stops the others.

    `unsent` counts those that would be lost if this process died now, and their tasks repeated; `on_sent` hears when
    they become fewer. An outcome is one of them until it is written, or until the driver tells that it is on its way to
    a backend that carries out what it was sent. `aside` of them are tried one by one.
    """

    def __init__(self, driver: BaseDriver, outage: Outage) -> None:
        self._driver = driver
        self._outage = outage
        # Not in the context of the run whose outcome is the first: what is logged on the way is not said by its task.
        self._batcher: Batcher[Item, Settled] = Batcher(self._send_first, driver.limits.batch, context=copy_context())
        self._one_by_one: Batcher[Item, Settled] = Batcher(self._send_one, 1, context=copy_context())
        self._at_once = max(1, min(AT_ONCE, driver.limits.keeps_sent))
        self._tells = False  # the driver has told of the last trip when it was on its way
        self._said = False  # that something is held up
        self.aside = 0
        self.unsent = 0
        self.on_sent: Callable[[], None] = lambda: None

    def put(self, delivery: Delivery, outcome: Outcome, done: Callable[[Settled], None], within: float = 0.0) -> None:
        """Write this outcome with the next batch, `within` seconds if it has time; `done` hears what became of it."""
        item = delivery, outcome
        self.unsent += 1
        self._batcher.put(item, partial(self._hear, item, done), within)

    def hurry(self, slots: int) -> None:
        """Tasks wait for a slot: if half of the slots are those of unsent outcomes, send another trip now."""
        if self._tells and 2 * (self.unsent - self.aside) >= slots:
            self._batcher.hurry(self._at_once)

    async def drain(self, timeout: float) -> bool:
        """Return True when everything is written; False after `timeout` seconds, and the rest is abandoned."""
        try:
            async with asyncio.timeout(timeout):
                await self._batcher.drain()
                await self._one_by_one.drain()
        except TimeoutError:
            self._batcher.abandon()
            self._one_by_one.abandon()
            return False
        return True

    def _hear(self, item: Item, done: Callable[[Settled], None], result: Settled | BaseException) -> None:
        if isinstance(result, _Aside):
            self._one_by_one.put(item, partial(self._hear, item, done))
            return
        if isinstance(result, BaseException):
            log.error("%s: its outcome could not be written", item[0].id, exc_info=result)
            result = Settled.FAILED
        done(result)

    async def _send_first(self, batch: list[Item]) -> Sequence[Settled | BaseException]:
        counted, held = len(batch), 0

        def sent() -> None:
            nonlocal counted
            self.unsent -= counted
            counted = 0
            self.on_sent()

        def told() -> None:
            if counted:
                self._tells = True
                sent()

        try:
            results = await self._send(batch, told)
            held = len(batch) if isinstance(results[0], _Aside) else 0
            return results
        finally:
            self.aside += held
            self.unsent += held  # nobody is to have their slots
            if counted:
                self._tells = False
                sent()

    async def _send(self, batch: list[Item], told: Callable[[], None]) -> Sequence[Settled | BaseException]:
        try:
            lost, lost_tries = await self._outage.persist(lambda: self._driver.settle_telling(batch, told), STUBBORN)
        except ConnectionLost as error:
            self._tells = False
            self._say(error)
            return [_Aside()] * len(batch)
        except Exception as error:
            self._tells = False
            return [error] if len(batch) == 1 else [_Aside()] * len(batch)
        if lost_tries:
            self._tells = False
        return _results(batch, lost, Settled.UNSURE if lost_tries else Settled.LOST)

    async def _send_one(self, batch: list[Item]) -> Sequence[Settled | BaseException]:
        """One of those put aside; what an earlier call has done of it is not known."""
        results: Sequence[Settled | BaseException]
        try:
            results = _results(batch, await self._driver.settle(batch), Settled.UNSURE)
        except ConnectionLost as error:
            if isinstance(error, Blocked):
                self._say(error)
            await asyncio.sleep(PAUSE)
            return [_Aside()]
        except Exception as error:
            results = [error]
        else:
            self._outage.over()
        self.aside -= 1
        self.unsent -= 1
        if self._said and not self.aside:
            self._said = False
            log.warning("the outcomes that were held up are written", extra={"event": "call_went_through"})
        self.on_sent()
        return results

    def _say(self, error: ConnectionLost) -> None:
        if not self._said:
            self._said = True
            text = "outcomes are held up, though others go through: %s; they are tried one by one until it works"
            log.warning(text, error, extra={"event": "call_stuck"})


def _results(batch: list[Item], lost: list[Delivery], meaning: Settled) -> list[Settled]:
    if not lost:
        return [Settled.WRITTEN] * len(batch)
    gone = set(lost)
    return [meaning if delivery in gone else Settled.WRITTEN for delivery, _ in batch]

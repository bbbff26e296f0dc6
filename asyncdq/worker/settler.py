"""Outcomes on their way to the backend, merged into one round trip after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from enum import Enum

from ..batcher import Batcher
from ..drivers.base import BaseDriver, untold
from ..errors import ConnectionLost
from ..message import Delivery, Outcome
from .log import log
from .outage import STUBBORN, Outage

Item = tuple[Delivery, Outcome]

PAUSE = 0.5
"""Seconds without a try of what is held up after one that was in vain."""

AT_ONCE = 16
"""Trips under way, at most, while tasks wait for slots, where outcomes that are on their way are as good as written."""


class Settled(Enum):
    """What became of an outcome."""

    WRITTEN = "written"
    LOST = "the delivery was no longer ours: somebody else has it"
    UNSURE = "not ours any more, perhaps because an earlier try had worked"
    FAILED = "the backend refuses this outcome"


class _HeldUp(Exception):
    """The backend is there, but the call with this outcome does not go through: a row may be locked."""


class Settler:
    """Writes outcomes. A lost connection retries the batch whole, any other error splits it: one bad
    outcome never stops the others. What is held up while others go through is tried one by one, in turn, beside those
    that come after it.

    `unsent` counts those that would be lost if this process died now, and their tasks repeated; `on_sent` hears when
    they become fewer. An outcome is one of them until it is written, or until the driver tells that it is on its way to
    a backend that carries out what it was sent.
    """

    def __init__(self, driver: BaseDriver, outage: Outage) -> None:
        self._driver = driver
        self._outage = outage
        # Not in the context of the run whose outcome is the first: what is logged on the way is not said by its task.
        self._batcher: Batcher[Item, Settled] = Batcher(self._send_first, driver.limits.batch, context=copy_context())
        self._held_up: Batcher[Item, Settled] = Batcher(self._send_held_up, 1, context=copy_context())
        self._at_once = max(1, min(AT_ONCE, driver.limits.keeps_sent))
        self._tells = False  # the driver has told of the last trip when it was on its way
        self._waiting = 0  # of those that are held up
        self._failed_at = 0.0  # the event loop's time of the last try of one of them that was in vain
        self.unsent = 0
        self.on_sent: Callable[[], None] = lambda: None

    def put(self, delivery: Delivery, outcome: Outcome, done: Callable[[Settled], None], within: float = 0.0) -> None:
        """Write this outcome with the next batch, `within` seconds if it has time; `done` hears what became of it."""

        def hear(result: Settled | BaseException) -> None:
            if isinstance(result, _HeldUp):
                self._held_up.put((delivery, outcome), hear)
                return
            if isinstance(result, BaseException):
                log.error("%s: its outcome could not be written", delivery.id, exc_info=result)
                result = Settled.FAILED
            done(result)

        self.unsent += 1
        self._batcher.put((delivery, outcome), hear, within)

    def hurry(self, slots: int) -> None:
        """Tasks wait for a slot: if half of the slots are those of unsent outcomes, send another trip now."""
        if self._tells and 2 * self.unsent >= slots:
            self._batcher.hurry(self._at_once)

    async def drain(self, timeout: float) -> bool:
        """Return True when everything is written; False after `timeout` seconds, and the rest is abandoned."""
        try:
            async with asyncio.timeout(timeout):
                await self._batcher.drain()
                await self._held_up.drain()
        except TimeoutError:
            self._batcher.abandon()
            self._held_up.abandon()
            return False
        return True

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
            held = sum(isinstance(result, _HeldUp) for result in results)
            return results
        finally:
            self.unsent += held  # nobody is to have their slots
            if counted:
                self._tells = False
                sent()

    async def _send_held_up(self, batch: list[Item]) -> Sequence[Settled | BaseException]:
        results = await self._send(batch, untold, tried=True, aside=True)
        if isinstance(results[0], _HeldUp):
            await asyncio.sleep(PAUSE)
        else:
            self._waiting -= 1
            self.unsent -= 1
            self.on_sent()
        return results

    async def _send(
        self, batch: list[Item], told: Callable[[], None], *, tried: bool = False, aside: bool = False
    ) -> Sequence[Settled | BaseException]:
        """`tried`: an earlier call may have written some of it; `aside`: it is known that this is held up."""
        tries, since = (1, self._failed_at) if aside else (STUBBORN, None)
        try:
            lost, lost_tries = await self._outage.persist(
                lambda: self._driver.settle_telling(batch, told), tries, since
            )
        except ConnectionLost as error:
            self._failed_at = asyncio.get_running_loop().time()
            if not aside:
                self._put_aside(len(batch), error)
            return [_HeldUp()] * len(batch)
        except Exception as error:
            self._tells = False
            return [error] if len(batch) == 1 else [(await self._send([item], untold, tried=True))[0] for item in batch]
        if lost_tries:
            self._tells = False
        return _results(batch, lost, Settled.UNSURE if tried or lost_tries else Settled.LOST)

    def _put_aside(self, count: int, error: ConnectionLost) -> None:
        self._tells = False
        if not self._waiting:
            text = "outcomes are held up, though others go through: %s; %d are tried one by one until it works"
            log.warning(text, error, count, extra={"event": "call_stuck"})
        self._waiting += count


def _results(batch: list[Item], lost: list[Delivery], meaning: Settled) -> list[Settled]:
    if not lost:
        return [Settled.WRITTEN] * len(batch)
    gone = set(lost)
    return [meaning if delivery in gone else Settled.WRITTEN for delivery, _ in batch]

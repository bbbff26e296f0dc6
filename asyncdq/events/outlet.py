"""The way from the work to one emitter: a bounded buffer, and a flush in the background.

The first event goes out at once. What piles up while it is under way, and for a moment after it, goes together.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque

from ..errors import ConnectionLost
from ..soon import start_soon
from .base import Asking, Emitter
from .local import InProcessEmitter
from .types import Event

_log = logging.getLogger("asyncdq.events")

CAPACITY = 10_000  # events that wait for one emitter
BATCH = 500  # events of one flush: writing them holds up the work for a few milliseconds
WORTH_ASKING = 100  # events, from which on it takes less to ask whether anybody listens than to write them
PATIENCE = 5.0  # seconds that an emitter gets for one flush, a listener for one event
LULL = 0.01  # seconds from one flush to the next, unless there is enough for a full one: each costs a round trip
LAST_WORD = 0.2  # seconds beyond its time that an emitter gets to close
FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 3.0  # seconds


class Outlet:
    """Takes events at once, whatever the emitter does. When it is full the oldest is dropped; `dropped` counts."""

    def __init__(self, emitter: Emitter, capacity: int = CAPACITY) -> None:
        self.dropped = 0
        self._emitter = emitter
        self._tell = emitter.tell if isinstance(emitter, InProcessEmitter) else None
        self._asking = emitter if isinstance(emitter, Asking) else None
        self._capacity = capacity
        self._pending: deque[Event] = deque(maxlen=capacity)
        self._flushing: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._told = 0  # of those dropped
        self._in_trouble = False

    def put(self, event: Event) -> None:
        """Emit this event soon."""
        if len(self._pending) == self._capacity:
            self._trouble("it is too slow")
            self.dropped += 1  # the oldest leaves by itself
        self._pending.append(event)
        self._flush_soon()

    async def close(self, timeout: float) -> None:
        """Emit what waits and close the emitter, within `timeout` seconds; what is left then is dropped."""
        ends_at = asyncio.get_running_loop().time() + timeout
        if self._pending:
            self._flush_soon()
        self._ending.set()
        if self._flushing is not None and not self._flushing.done():
            await asyncio.wait([self._flushing], timeout=timeout)
            self._flushing.cancel()
            await asyncio.wait([self._flushing], timeout=0.1)  # what it had in hand comes back
        if self._pending:
            self._trouble("the time to end is over")
            self.dropped += len(self._pending)
            self._pending.clear()
        self._over()
        try:
            async with asyncio.timeout_at(ends_at + LAST_WORD):
                await self._emitter.close()
        except Exception as error:  # of an emitter of the user's
            _log.warning("%s could not be closed: %r", self, error)

    def __str__(self) -> str:
        return type(self._emitter).__name__

    def _flush_soon(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._ending = asyncio.Event()
            self._flushing = start_soon(self._flush(self._ending), name="asyncdq-events")

    async def _flush(self, ending: asyncio.Event) -> None:
        tries = 0
        while self._pending:
            error = await self._turn()
            if error is None:
                tries = 0
                await self._lull(ending)
            elif ending.is_set() and isinstance(error, ConnectionLost):
                self._trouble(repr(error))
                return  # there was a last try, and that was it
            else:
                self._trouble(repr(error))
                tries += 1
                if not ending.is_set():
                    await _pause(tries, ending)
        self._over()

    async def _lull(self, ending: asyncio.Event) -> None:
        """Let more come together, unless there is enough of it or it is the end."""
        if len(self._pending) >= BATCH or ending.is_set():
            await asyncio.sleep(0)  # the work goes on in between, also where `emit` never waits
        else:
            await _wait(ending, LULL)

    async def _turn(self) -> BaseException | None:
        if self._asking is not None and len(self._pending) >= WORTH_ASKING:
            waiting, dropped = len(self._pending), self.dropped
            try:
                async with asyncio.timeout(PATIENCE):
                    heard = await self._asking.is_heard()
            except ConnectionLost as error:
                return error
            except Exception:  # `emit` will say what is wrong
                heard = True
            if not heard:
                self._forget(waiting, self.dropped - dropped)
                return None
        return await self._emit([self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))])

    def _forget(self, waiting: int, overflowed: int) -> None:
        """Nobody was there for those that were waiting when it was asked; some of them have overflowed since."""
        self.dropped -= min(waiting, overflowed)
        self._in_trouble = self._in_trouble and self.dropped > self._told
        for _ in range(waiting - overflowed):
            self._pending.popleft()

    async def _emit(self, events: list[Event]) -> BaseException | None:
        taken = 0
        try:
            async with asyncio.timeout(PATIENCE) as patience:
                if self._tell is None:
                    await self._emitter.emit(events)
                    return None
                for event in events:  # here, where it is known how far it came
                    if (waiting := self._tell(event)) is not None:
                        await waiting
                        patience.reschedule(asyncio.get_running_loop().time() + PATIENCE)
                    taken += 1
        except (ConnectionLost, asyncio.CancelledError) as error:
            self._put_back(events[taken:])
            if not isinstance(error, ConnectionLost):
                raise
            return error
        except (Exception, SystemExit) as error:  # an emitter of the user's may raise anything
            lost = 1 if self._tell else len(events)
            self.dropped += lost
            self._put_back(events[taken + lost :])
            return error
        return None

    def _put_back(self, events: list[Event]) -> None:
        room = self._capacity - len(self._pending)
        kept = events[max(0, len(events) - room) :]
        self.dropped += len(events) - len(kept)
        self._pending.extendleft(reversed(kept))

    def _trouble(self, why: str) -> None:
        """Say once per outage that events do not get through."""
        if not self._in_trouble:
            self._in_trouble = True
            _log.warning("events do not get through to %s: %s; the work goes on, the oldest are dropped", self, why)

    def _over(self) -> None:
        """Say how many were lost in the outage that ends here, if there was one."""
        if self._in_trouble or self.dropped > self._told:
            lost, self._told, self._in_trouble = self.dropped - self._told, self.dropped, False
            _log.warning("%s: %d events were dropped", self, lost, extra={"events_dropped": lost})


async def _pause(tries: int, ending: asyncio.Event) -> None:
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 20))
    await _wait(ending, longest * random.uniform(0.5, 1.0))


async def _wait(ending: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ending.wait()
    except TimeoutError:
        return

"""Waking those who wait: MySQL has no word for news, so the driver looks, and tells its own process what it did.

A waiter's queues are looked at when it comes, then every 20 ms, and ever less often the longer nothing comes: after
a second every 50 ms, after five every 250; sooner if a message of them is due sooner. One look serves all waiters; it
reads one entry of an index per queue, and locks nothing.
What a driver of the same process and event loop makes ready wakes at once.
While the server does not answer, all waiters are woken every POLL, so that they ask for themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import DriverError
from ..soon import start_soon
from .waiters import announced

POLL = 0.25
"""Seconds between looks, at most."""

FIRST_PAUSE = 0.02
"""Seconds between looks, at least."""

PATIENCE = 20
"""How many times longer than a pause it has been quiet: so often is looked in vain as it gets quieter, and later POLL
alone says how often."""

LONGEST_LOOK = 2.0
"""Seconds until a look is given up, and its connection with it: a router that forgets a connection says nothing."""

ABSENCE = 1.0
"""Seconds without a waiter after which one comes from work; one that only asks again has been away for less."""

Look = Callable[[Sequence[str]], Awaitable[Mapping[str, float]]]
"""Asks the server in how many seconds the first message of each queue is due; without those that are empty."""


@dataclass(slots=True, eq=False)
class _Waiter:
    queues: frozenset[str]
    woken: asyncio.Future[bool]

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(True)


class Watch:
    """The waiters of one driver. `store` names what they wait for; drivers of the same store tell each other."""

    def __init__(self, store: tuple[str, ...], look: Look) -> None:
        self._store = store
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._waiters: set[_Waiter] = set()
        self._stir = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._quiet_since = self._left = self._loop.time()

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when something may be ready in one of `queues`, or after `timeout` seconds."""
        if self._watching is None:
            self._watching = start_soon(self._watch())
        if not self._waiters and self._loop.time() - self._left > ABSENCE:
            self._quiet_since = self._loop.time()
        waiter = _Waiter(frozenset(queues), self._loop.create_future())
        self._waiters.add(waiter)
        _watches.add(self)
        self._stir.set()
        try:
            await announced(waiter.woken, timeout)
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                _watches.discard(self)
            self._left = self._loop.time()

    def announce(self, delays: Mapping[str, float]) -> None:
        """In so many seconds, from now, something will be ready in these queues: 0 wakes those who wait."""
        for watch in list(_watches):
            if watch._store == self._store and watch._loop is self._loop:
                watch._hear(delays)

    async def close(self) -> None:
        """Stop watching; those who still wait are woken."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None
        self._wake_all()

    def _hear(self, delays: Mapping[str, float]) -> None:
        for queue, delay in delays.items():
            concerned = [waiter for waiter in self._waiters if queue in waiter.queues]
            if delay <= 0:
                for waiter in concerned:
                    self._quiet_since = self._loop.time()
                    waiter.wake()
            elif concerned and delay < POLL:
                self._stir.set()

    async def _watch(self) -> None:
        while True:
            if not self._waiters:
                await self._nap(None)
                continue
            wanted = sorted({queue for waiter in self._waiters for queue in waiter.queues})
            try:
                async with asyncio.timeout(LONGEST_LOOK):
                    due = await self._look(wanted)
            except (DriverError, TimeoutError):
                self._wake_all()
                await asyncio.sleep(POLL)
            else:
                await self._nap(min((self._pause(waiter, due) for waiter in list(self._waiters)), default=None))

    def _pause(self, waiter: _Waiter, due: Mapping[str, float]) -> float:
        """How long this waiter may sleep."""
        first = min((due[queue] for queue in waiter.queues if queue in due), default=POLL)
        if first <= 0:
            self._quiet_since = self._loop.time()
            waiter.wake()
            self._waiters.discard(waiter)
            return POLL
        return min(first, POLL, max(FIRST_PAUSE, (self._loop.time() - self._quiet_since) / PATIENCE))

    async def _nap(self, seconds: float | None) -> None:
        """Sleep until something stirs, or for `seconds`."""
        timer = None if seconds is None else self._loop.call_later(seconds, self._stir.set)
        try:
            await self._stir.wait()
        finally:
            self._stir.clear()
            if timer is not None:
                timer.cancel()

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.wake()


_watches: set[Watch] = set()
"""Those of this process through which somebody waits."""

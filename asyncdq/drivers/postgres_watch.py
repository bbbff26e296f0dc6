"""Waking those who wait: one connection per driver, outside the pool, that listens and looks.

    asleep      nobody waits: nothing is done, news only arrives
    listening   each waiter is woken by a NOTIFY for one of its queues; and by a look, which asks when the
                first message of each queue is due: at once, after 10 ms, after ever longer pauses,
                and when that is
    cut off     no connection, or one that does not answer: all waiters are woken every POLL, so that they ask
                the pool, while a new one is tried; when it listens all are woken again, for what was announced
                meanwhile. A connection whose look takes longer than PATIENCE is given up; where there are several
                hosts, so is one to a server that can be read but not written any more: the tasks are elsewhere

The looks of the first second are for what was being stored while the waiter's last claim found nothing: its
enqueue still saw the messages that this claim's neighbour had taken, and so announced nothing. Nor does any enqueue
after it, since that one is ready now. Where the disk is slow, such a commit takes more than 10 ms.
Through a pooler LISTEN hears nothing: then a look every POLL is all there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import ConnectionLost, DriverError
from ..soon import start_soon
from .postgres_errors import FOREIGN
from .postgres_link import Connection, Link, bounded
from .postgres_pool import part
from .postgres_tables import LONGEST_SLEEP
from .waiters import announced

T = TypeVar("T")

POLL = 0.25
"""Seconds between looks where nothing can be heard."""

PATIENCE = 2.0
"""Seconds until a look is given up: a router that forgets a connection says nothing, and neither does NOTIFY then."""

SECOND_LOOK = 0.01
"""Seconds after which a new waiter's queues are looked at again; each further pause is four times as long."""

Look = Callable[[Connection, Sequence[str]], Awaitable[tuple[dict[str, float], bool]]]
"""Asks the server in how many seconds the first message of each queue is due, without those that are empty; and
whether it can be written."""


@dataclass(slots=True, eq=False)
class _Waiter:
    queues: frozenset[str]
    woken: asyncio.Future[bool]
    pause: float = 0.0

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(True)


class Watch:
    """The waiters of one driver. Opens its connection when the first one comes."""

    def __init__(self, link: Link, channel: str, look: Look) -> None:
        self._link = link
        self._channel = channel
        self._look = look
        self._waiters: set[_Waiter] = set()
        self._stir = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when something may be ready in one of `queues`, or after `timeout` seconds."""
        if self._watching is None:
            self._watching = start_soon(self._watch())
        waiter = _Waiter(frozenset(queues), asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._stir.set()
        try:
            await announced(waiter.woken, timeout)
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Stop watching; those who still wait are woken."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None
        self._wake_all()

    async def _watch(self) -> None:
        while True:
            try:
                connection = await self._meanwhile(self._link.reopen())
                try:
                    await self._serve(connection)
                except FOREIGN:
                    connection.terminate()
                    raise
                finally:
                    await part(connection)
            except (DriverError, *FOREIGN):
                self._wake_all()
                await asyncio.sleep(POLL)

    async def _serve(self, connection: Connection) -> None:
        """Serve the waiters on this connection until it fails."""
        connection.add_termination_listener(self._on_end)
        if not self._link.pooled:
            await self._answer(connection, connection.add_listener(self._channel, self._on_news))
        self._wake_all()
        while True:
            if not self._waiters:
                await self._nap(None, connection)
                continue
            wanted = sorted({queue for waiter in self._waiters for queue in waiter.queues})
            due, writable = await self._answer(connection, self._look(connection, wanted))
            if not writable and self._link.address.chooses:
                raise ConnectionLost("the server that listens can be written no more")  # another one has the news now
            pauses = [self._pause(waiter, due) for waiter in list(self._waiters)]
            await self._nap(min(pauses, default=None), connection)

    async def _answer(self, connection: Connection, answer: Awaitable[T]) -> T:
        """The answer of the server. Raises what a lost connection raises, also if it takes too long."""
        return await self._meanwhile(bounded(connection, min(PATIENCE, self._link.timeout), answer))

    async def _meanwhile(self, what: Awaitable[T]) -> T:
        """The result; until it comes nobody looks, and all waiters are woken every POLL."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def rouse() -> None:
            nonlocal timer
            self._wake_all()
            timer = loop.call_later(POLL, rouse)

        timer = loop.call_later(POLL, rouse)
        try:
            return await what
        finally:
            timer.cancel()

    def _pause(self, waiter: _Waiter, due: dict[str, float]) -> float:
        """How long this waiter may sleep; 0 if it is woken."""
        first = min((due[queue] for queue in waiter.queues if queue in due), default=LONGEST_SLEEP)
        if first <= 0:
            waiter.wake()
            self._waiters.discard(waiter)
            return LONGEST_SLEEP
        longest = POLL if self._link.pooled else LONGEST_SLEEP
        waiter.pause = min(longest, waiter.pause * 4 if waiter.pause else SECOND_LOOK)
        return min(first, waiter.pause)

    async def _nap(self, seconds: float | None, connection: Connection) -> None:
        """Sleep until something stirs, or for `seconds`. Raises what a lost connection raises."""
        loop = asyncio.get_running_loop()
        timer = None if seconds is None else loop.call_later(seconds, self._stir.set)
        try:
            await self._stir.wait()
        finally:
            self._stir.clear()
            if timer is not None:
                timer.cancel()
        if connection.is_closed():
            raise ConnectionResetError("the connection that listens was closed")

    def _on_news(self, connection: Any, pid: int, channel: str, queue: object) -> None:
        for waiter in self._waiters:
            if queue in waiter.queues:
                waiter.wake()

    def _on_end(self, connection: Any) -> None:
        self._stir.set()

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.wake()

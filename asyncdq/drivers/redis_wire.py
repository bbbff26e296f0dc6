"""Calls to one server, in order, over a connection that is opened when it is needed and again after it broke.

A call that finds nothing under way is written at once. Else a task writes, which owns the connection: what piles up in
a turn of the event loop goes out in one trip, a few trips may be under way at once, and what comes meanwhile goes into
the next. A caller that gives up only stops listening.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from ..errors import AsyncdqError, ConnectionLost
from ..soon import start_soon
from .redis_address import Address
from .redis_line import Call, Line
from .redis_link import FAILURES, again, explained, opened, pack
from .redis_scripts import Script

_TRIP = 16 * 2**20
"""Bytes of one trip, unless a single call is larger: it must come through within the timeout."""

_AT_ONCE = 20
"""Trips under way: where the server is a millisecond away, as many times the rate. More would be smaller ones."""

_AT_HAND = 32 * 2**10
"""Bytes without an answer up to which a write never waits: the event loop keeps twice as many for a slow connection."""

_NOTICED = 4
"""Turns of the event loop in which the end of a connection that has come is noticed; uvloop with TLS takes the most."""

_IDLE = 15.0
"""Seconds of silence after which a connection is tried before it is used: routers forget what is quiet."""

_PATIENCE = 2.0
"""Seconds in which it answers then, or another connection is opened."""


class Wire:
    """Calls to one server. Belongs to the event loop in which it was made."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Call] = deque()
        self._taken = False  # some of what waited are not written yet
        self._news = asyncio.Event()
        self._closing = False
        self._line: Line | None = None
        self._sending: asyncio.Timeout | None = None
        self._owner = self._start()

    def call(self, *args: bytes) -> asyncio.Future[Any]:
        """The answer to a command. Raises what `explain` makes of an error."""
        return self._put(Call(self._loop.create_future(), pack(*args)))

    def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Iterable[bytes],
        sent: Callable[[], None] | None = None,
    ) -> asyncio.Future[Any]:
        """The answer of a script, which the server gets again if it does not know it any more.

        `sent` hears when this call, and with it all earlier ones, is on its way to a server that knows the script.
        """
        rest = script.arguments(keys, arguments)
        return self._put(Call(self._loop.create_future(), pack(b"EVALSHA", script.sha, *rest), script, rest, sent))

    async def close(self) -> None:
        """Finish what was called, then close the connection."""
        self._closing = True
        self._news.set()
        while not self._owner.done():  # another one may have taken over
            await asyncio.wait([self._owner])

    async def give_up(self) -> None:
        """Close the connection; what was called has an unknown outcome."""
        self._closing = True
        self._owner.cancel()
        await self.close()

    def _start(self) -> asyncio.Task[None]:
        owner = start_soon(self._run(), name="asyncdq-redis")
        owner.add_done_callback(self._start_again)
        return owner

    def _start_again(self, _: asyncio.Task[None]) -> None:
        """asyncio.run cancels all tasks, and then lets the others tidy up: what they call meanwhile is carried out."""
        if self._waiting and self._owner.done():
            self._owner = self._start()

    def _put(self, call: Call) -> asyncio.Future[Any]:
        if self._closing:
            call.resolve(ConnectionLost("the driver was closed"))
            return call.answer
        if self._at_rest and self._write_at_once([call], len(call.packed)):
            return call.answer
        self._waiting.append(call)
        self._news.set()
        if self._owner.done():
            self._owner = self._start()
        return call.answer

    async def _run(self) -> None:
        try:
            while self._waiting or self._under_way or not self._closing:
                if self._waiting and self._under_way < _AT_ONCE:
                    await self._send(*self._next())
                else:
                    self._news.clear()
                    await self._news.wait()
        finally:
            error = ConnectionLost("the driver was closed")
            self._fail(self._waiting, error)
            self._waiting.clear()
            await self._drop(error)

    @property
    def _at_rest(self) -> bool:
        """Whether a call would be the only one under way."""
        return not (self._waiting or self._taken or self._under_way or self._owner.cancelling())

    @property
    def _under_way(self) -> int:
        return 0 if self._line is None else self._line.under_way

    def _next(self) -> tuple[list[Call], int]:
        """What waits, as far as it fits into one trip, and its size in bytes."""
        calls = [self._waiting.popleft()]
        size = len(calls[0].packed)
        while self._waiting and size + len(self._waiting[0].packed) <= _TRIP:
            calls.append(self._waiting.popleft())
            size += len(calls[-1].packed)
        return calls, size

    async def _send(self, calls: list[Call], size: int) -> None:
        self._taken = True
        try:
            with explained(self._address):
                if self._write_at_once(calls, size):
                    return  # nothing to wait for: a timeout, though nobody needs it, is a tenth of a lone call
                async with asyncio.timeout(self._timeout) as limit:
                    line = await self._ready()
                    self._sending = limit
                    await line.send(calls, size, limit.when() or 0.0)
        except AsyncdqError as error:
            self._fail(calls, error)
            if self._line is None or self._line.broken is None:  # else those that waited have heard of it
                self._give_up_after(error)
            await self._drop(error)
        except BaseException as error:
            self._fail(calls, ConnectionLost(f"the call was broken off: {error!r}"))
            raise
        finally:
            self._sending = None
            self._taken = False

    async def _ready(self) -> Line:
        """The connection, if nothing speaks against it, or a new one."""
        if self._line is not None and not await self._alive(self._line):
            await self._drop(ConnectionLost("the connection broke"))
        if self._line is None:
            self._line = Line(await opened(self._address), self._address, self._hear, self._send_again)
        return self._line

    def _write_at_once(self, calls: list[Call], size: int) -> bool:
        """Whether it is written: the connection is as good as is known, and takes it without waiting."""
        line = self._line
        if line is None or not line.writable or line.unanswered + size > _AT_HAND:
            return False
        certain = line.under_way > 0 or (line.silent and self._silence(line) <= _IDLE)
        return certain and line.write(calls, size, self._loop.time() + self._timeout)

    def _silence(self, line: Line) -> float:
        """Seconds for which the server has had nothing to say."""
        return 0.0 if line.under_way else self._loop.time() - line.used

    async def _alive(self, line: Line) -> bool:
        if not line.under_way and not (line.writable and line.silent):  # perhaps the server has hung up
            for _ in range(_NOTICED):
                await asyncio.sleep(0)
        if self._silence(line) > _IDLE and line.open:
            answer: asyncio.Future[Any] = self._loop.create_future()
            with suppress(*FAILURES):  # however it broke: nothing was under way on it
                ping = pack(b"PING")
                await line.send([Call(answer, ping)], len(ping), self._loop.time() + self._timeout)
                await asyncio.wait([answer], timeout=min(_PATIENCE, self._timeout / 2))
                return line.open and answer.done()
        return line.open

    def _hear(self) -> None:
        """A trip is over, or the connection broke."""
        if self._waiting or self._closing:
            self._news.set()
        if self._line is not None and self._line.broken is not None:
            self._give_up_after(self._line.broken)
            # What is being written would wait for a buffer that nobody empties, if its time is not over already.
            if self._sending is not None and not self._sending.expired():
                self._sending.reschedule(self._loop.time())

    def _send_again(self, call: Call) -> None:
        call.spell_out()
        self._waiting.append(call)
        self._news.set()

    def _give_up_after(self, error: AsyncdqError) -> None:
        """If there was no answer in time, those that wait have waited as long, and would again."""
        if isinstance(error.__cause__, TimeoutError):
            self._fail(self._waiting, error)
            self._waiting.clear()

    def _fail(self, calls: Iterable[Call], error: AsyncdqError) -> None:
        for call in calls:
            call.resolve(again(error))

    async def _drop(self, error: AsyncdqError) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close(error)

"""One connection that carries calls in order, opened when it is needed and again after it broke.

A task owns the connection. What piles up while one trip is under way goes into the next one together, and a
caller that gives up only stops listening: nothing is ever cancelled in flight. If a trip fails, all its
calls have an unknown outcome and the connection is discarded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import AsyncdqError, ConnectionLost
from .redis_address import Address
from .redis_link import Demoted, Link, Refusal, UnknownScript, again, ask, explain, explained, hung_up, opened, pack
from .redis_scripts import Script

_TRIP = 16 * 2**20
"""Bytes of one trip, unless a single call is larger: it must come through within the timeout."""

_IDLE = 15.0
"""Seconds of silence after which a connection is tried before it is used: routers forget what is quiet."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    answer: asyncio.Future[Any]
    packed: bytes
    script: Script | None = None
    arguments: tuple[bytes, ...] = ()

    def resolve(self, result: Any) -> None:
        if self.answer.done():
            return  # its caller was cancelled
        if isinstance(result, Exception):
            self.answer.set_exception(result)
            self.answer.exception()  # seen: who stopped waiting for it wants no log line about it
        else:
            self.answer.set_result(result)


class Wire:
    """Calls to one server. Belongs to the event loop in which it was made."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Call] = deque()
        self._news = asyncio.Event()
        self._closing = False
        self._link: Link | None = None
        self._used = 0.0
        self._owner = self._start()

    def call(self, *args: bytes) -> asyncio.Future[Any]:
        """The answer to a command. Raises what `explain` makes of an error."""
        return self._put(_Call(self._loop.create_future(), pack(*args)))

    def run(self, script: Script, keys: Sequence[bytes], arguments: Iterable[bytes]) -> asyncio.Future[Any]:
        """The answer of a script, which the server gets again if it does not know it any more."""
        rest = script.arguments(keys, arguments)
        return self._put(_Call(self._loop.create_future(), pack(b"EVALSHA", script.sha, *rest), script, rest))

    async def close(self) -> None:
        """Finish what was called, then close the connection."""
        self._closing = True
        self._news.set()
        await asyncio.wait([self._owner])

    def _start(self) -> asyncio.Task[None]:
        return self._loop.create_task(self._run(), name="asyncdq-redis")

    def _put(self, call: _Call) -> asyncio.Future[Any]:
        if self._closing:
            call.resolve(ConnectionLost("the driver was closed"))
            return call.answer
        self._waiting.append(call)
        self._news.set()
        if self._owner.done():  # asyncio.run cancels all tasks, and then lets the others tidy up
            self._owner = self._start()
        return call.answer

    async def _run(self) -> None:
        try:
            while self._waiting or not self._closing:
                if self._waiting:
                    await self._trip(self._next())
                else:
                    self._news.clear()
                    await self._news.wait()
        finally:
            self._fail(self._waiting, ConnectionLost("the driver was closed"))
            self._waiting.clear()
            await self._drop()

    def _next(self) -> list[_Call]:
        """What waits, as far as it fits into one trip."""
        calls = [self._waiting.popleft()]
        size = len(calls[0].packed)
        while self._waiting and (size := size + len(self._waiting[0].packed)) <= _TRIP:
            calls.append(self._waiting.popleft())
        return calls

    async def _trip(self, calls: list[_Call]) -> None:
        try:
            with explained(self._address):
                async with asyncio.timeout(self._timeout):
                    link = await self._ready()
                    unknown = await self._carry(link, calls)
                    if unknown:
                        await self._teach(link, unknown)
            self._used = self._loop.time()
        except AsyncdqError as error:
            self._fail(calls, error)
            if isinstance(error.__cause__, TimeoutError):  # the others have waited as long, and would again
                self._fail(self._waiting, error)
                self._waiting.clear()
            await self._drop()
        except BaseException as error:
            self._fail(calls, ConnectionLost(f"the call was broken off: {error!r}"))
            raise

    async def _ready(self) -> Link:
        """The connection, if nothing speaks against it, or a new one."""
        if self._link is not None and not await self._alive(self._link):
            await self._drop()
        if self._link is None:
            self._link = await opened(self._address)
        return self._link

    async def _alive(self, link: Link) -> bool:
        if await hung_up(link):
            return False
        if self._loop.time() - self._used > _IDLE:
            try:
                await ask(link, b"PING")
            except Exception:  # however it broke: nothing was under way on it
                return False
        return True

    async def _carry(self, link: Link, calls: list[_Call]) -> list[_Call]:
        """Send the calls and hand out the answers; return those whose script the server does not know."""
        await link.send_packed_command([call.packed for call in calls], check_health=False)
        unknown: list[_Call] = []
        for call in calls:
            try:
                call.resolve(await link.read_response(disable_decoding=True))
            except UnknownScript:
                unknown.append(call)
            except Demoted:
                raise
            except Refusal as refusal:
                self._refuse(call, refusal)
        return unknown

    async def _teach(self, link: Link, calls: list[_Call]) -> None:
        for call in calls:
            assert call.script is not None
            try:
                call.resolve(await ask(link, b"EVAL", call.script.source, *call.arguments))
            except Refusal as refusal:
                self._refuse(call, refusal)

    def _refuse(self, call: _Call, refusal: Refusal) -> None:
        error = explain(refusal, self._address)
        error.__cause__ = refusal
        call.resolve(error)

    def _fail(self, calls: Iterable[_Call], error: AsyncdqError) -> None:
        for call in calls:
            call.resolve(again(error))

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.disconnect(nowait=True)

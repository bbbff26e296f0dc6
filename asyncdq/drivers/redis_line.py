"""An open connection, and the trips under way on it: sent in order, answered in order, never cancelled in flight.

Somebody reads from the connection at all times. So a trip can be sent before the last one is answered, and a server
that hangs up is noticed when it does, not by the next call. If anything breaks, all calls under way have an unknown
outcome and the connection is of no use any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import AsyncdqError, ConnectionLost
from ..soon import start_soon
from .redis_address import Address
from .redis_link import Demoted, Link, Refusal, UnknownScript, again, explain, explained, pack, plain
from .redis_scripts import Script
from .transport import has_left, is_silent, transport_of


@dataclass(slots=True, eq=False)
class Call:
    """A command on its way, and the future of its answer. `sent` hears when the server will carry it out, if before."""

    answer: asyncio.Future[Any]
    packed: bytes
    script: Script | None = None
    arguments: tuple[bytes, ...] = ()
    sent: Callable[[], None] | None = None

    def resolve(self, result: Any) -> None:
        """Hand over the answer or the error, if anybody still waits."""
        if self.answer.done():
            return  # its caller was cancelled
        if isinstance(result, Exception):
            self.answer.set_exception(result)
            self.answer.exception()  # seen: who stopped waiting for it wants no log line about it
        else:
            self.answer.set_result(result)

    def spell_out(self) -> None:
        """Send the text of the script, from now on: the server does not know its digest."""
        assert self.script is not None
        self.packed = pack(b"EVAL", self.script.source, *self.arguments)


class Line:
    """One connection. `on_answer` hears when a trip is over, `on_unknown` which of its calls has to be sent again.

    `broken` is why it is of no use any more. `used` is when it was last heard of, `unanswered` the bytes under way.
    """

    def __init__(
        self,
        link: Link,
        address: Address,
        on_answer: Callable[[], None],
        on_unknown: Callable[[Call], None],
    ) -> None:
        self.broken: AsyncdqError | None = None
        self._link = link
        self._transport = transport_of(link)
        self._address = address
        self._on_answer, self._on_unknown = on_answer, on_unknown
        self._loop = asyncio.get_running_loop()
        self.used = self._loop.time()
        self.unanswered = 0
        self._trips: deque[tuple[Sequence[Call], int, float]] = deque()  # its bytes, and when it must be answered
        self._known: set[bytes] = set()  # scripts that the server has, of those with a `sent`
        self._watch: asyncio.TimerHandle | None = None
        self._reader = start_soon(self._read(), name="asyncdq-redis-line")

    @property
    def under_way(self) -> int:
        """Trips that have no answer yet."""
        return len(self._trips)

    @property
    def open(self) -> bool:
        """Whether nothing is known against it."""
        return self.broken is None and self._link.is_connected  # else the client would connect again, unseen

    @property
    def silent(self) -> bool:
        """Whether nothing has come that was not read yet, such as the end of the connection."""
        return is_silent(self._transport)

    @property
    def writable(self) -> bool:
        """Whether `write` works: it needs the transport."""
        return self.open and self._transport is not None and not self._transport.is_closing()

    def write(self, calls: Sequence[Call], size: int, deadline: float) -> bool:
        """Write a trip of `size` bytes; its calls hear what became of them, or that there was no answer in time.

        False if that cannot be done.
        """
        try:
            self._transport.write(b"".join([call.packed for call in calls]))
        except RuntimeError:  # uvloop's word for a connection that is closed
            return False
        self._note(calls, size, deadline)
        self._tell_of(calls)
        return True

    async def send(self, calls: Sequence[Call], size: int, deadline: float) -> None:
        """The same, and wait until it is on its way, if it is too much to be kept."""
        self._note(calls, size, deadline)
        try:
            await self._link.send_packed_command([call.packed for call in calls], check_health=False)
        except RuntimeError as error:
            raise ConnectionResetError("the connection was closed") from error
        self._tell_of(calls)

    def _note(self, calls: Sequence[Call], size: int, deadline: float) -> None:
        self._trips.append((calls, size, deadline))
        self.unanswered += size
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._look)

    def _tell_of(self, calls: Sequence[Call]) -> None:
        for call in calls:
            if call.sent is not None and call.script is not None and call.script.sha in self._known:
                if isinstance(self._transport, asyncio.Transport):
                    self._tell(call.sent)
                else:  # uvloop's, which writes at the end of its turn
                    self._loop.call_soon(self._tell, call.sent)

    def _tell(self, sent: Callable[[], None]) -> None:
        if self.open and has_left(self._transport):
            sent()

    async def close(self, error: AsyncdqError) -> None:
        """Close it; what is under way has this error."""
        self._break(error)
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self._link.disconnect(nowait=True)  # a reader that was cancelled before it began has not

    async def _read(self) -> None:
        try:
            with explained(self._address):
                while True:
                    await self._hear()
        except AsyncdqError as error:
            self._break(error)
        finally:
            self._break(ConnectionLost("the call was broken off"))
            await self._link.disconnect(nowait=True)

    async def _hear(self) -> None:
        """The answers to one trip."""
        answer = await self._answer()
        if not self._trips:
            raise ValueError("it says something that nobody has asked for")
        calls, size, _ = self._trips[0]
        for place, call in enumerate(calls):
            self._resolve(call, await self._answer() if place else answer)
        self._trips.popleft()
        self.unanswered -= size
        self.used = self._loop.time()
        self._on_answer()

    async def _answer(self) -> Any:
        try:
            return await self._link.read_response(disable_decoding=True)
        except Refusal as refusal:
            if isinstance(found := plain(refusal), Demoted):
                raise found from None
            return found

    def _resolve(self, call: Call, answer: Any) -> None:
        if not isinstance(answer, Refusal):
            if call.sent is not None and call.script is not None:
                self._known.add(call.script.sha)
            call.resolve(answer)
        elif isinstance(answer, UnknownScript) and call.script is not None:
            self._known.discard(call.script.sha)
            self._on_unknown(call)
        else:
            error = explain(answer, self._address)
            error.__cause__ = answer
            call.resolve(error)

    def _look(self) -> None:
        """Whether the oldest trip has waited for too long: one timer for all of them."""
        self._watch = None
        if not self._trips:
            return
        *_, deadline = self._trips[0]
        if self._loop.time() < deadline:
            self._watch = self._loop.call_at(deadline, self._look)
            return
        try:
            with explained(self._address):
                raise TimeoutError
        except AsyncdqError as error:
            self._break(error)
        self._reader.cancel()

    def _break(self, error: AsyncdqError) -> None:
        if self.broken is not None:
            return
        self.broken = error
        if self._trips and self._transport is not None:
            self._transport.abort()  # else what it could not send yet keeps it open, and is sent after all
        if self._watch is not None:
            self._watch.cancel()
        for calls, *_ in self._trips:
            for call in calls:
                call.resolve(again(error))
        self._trips.clear()
        self._on_answer()

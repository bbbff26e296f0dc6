"""The connections to an SQL server that serve calls: few, kept open, thrown away as soon as one of them fails.

The pools of the client libraries do not do: they spend a round trip more per call, and end a statement, or its
connection, when its caller no longer waits (rule 3 of the contract).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from random import random
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from ..errors import ConnectionLost, DriverError
from .calls import Calls
from .sql_gate import Gate

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")

ASIDE = 0.02
"""Seconds at most before a call is tried again that the server has rolled back for the sake of another."""

OTHERS = 3
"""Connections that a claim, a renewal and an enqueue may have while outcomes are sent on the rest."""


async def step_aside() -> None:
    """Wait for a time that is drawn by lot: it parts those who met."""
    await asyncio.sleep(random() * ASIDE)


class Pool(ABC, Generic[C]):
    """Up to `most` connections, the one used last first. `where` is the server; `timeout` the seconds of a call."""

    foreign: tuple[type[Exception], ...]
    """What the client library raises."""

    def __init__(self, where: str, timeout: float, most: int) -> None:
        self.in_turn = Gate(1, where, timeout)
        """One caller after the other: what asks in here arrives at the server in the order of the calls."""
        self._where = where
        self._timeout = timeout
        self._idle: list[C] = []
        self._wanting: deque[asyncio.Future[C]] = deque()
        self._opening = 0
        self._room = Gate(most, where, timeout)
        self.calls = Calls()

    async def start(self, least: int) -> None:
        """Open the first `least` connections. Raises ConfigurationError or ConnectionLost."""
        try:
            while len(self._idle) < least:
                self._idle.append(await self._open())
        except BaseException:
            self._drop_idle()
            raise

    def call(
        self, verb: Callable[Concatenate[C, P], Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """What the verb returns of a connection; it runs to its end, whatever happens to the caller."""

        def question(connection: C) -> Awaitable[T]:
            return verb(connection, *args, **kwargs)

        return self.calls.run(self.ask(question))

    async def ask(self, question: Callable[[C], Awaitable[T]]) -> T:
        """The answer of the server. Raises DriverError; ConnectionLost after the timeout of a call."""
        async with self._room:
            try:
                return await self._insist(question)
            except self.foreign as error:
                lost = self._explain(error)
                if isinstance(lost, ConnectionLost):
                    self._drop_idle()  # what has cut this one has most likely cut them all
                raise lost from error

    async def close(self) -> None:
        """Wait for the calls under way, then take leave of the server."""
        await self.calls.ended()
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(self._part, idle))  # side by side: a server that is silent takes its time with each

    async def _take(self) -> C:
        """One that is idle; else one that is given back or was opened, whichever is first: opening takes many trips."""
        while self._idle:
            connection = self._idle.pop()
            if await self._is_there(connection):
                return connection
            self._cut(connection)
            self._drop_idle()  # what has cut this one has most likely cut them all
        wanting: asyncio.Future[C] = asyncio.get_running_loop().create_future()
        self._wanting.append(wanting)
        self._open_enough(wanting)
        try:
            return await wanting
        except asyncio.CancelledError:
            if wanting in self._wanting:
                self._wanting.remove(wanting)
            elif not wanting.cancelled() and wanting.exception() is None:  # it came in the same moment
                self._give(wanting.result())
            raise

    def _give(self, connection: C, cold: bool = False) -> None:
        """To who has wanted one for longest, else to the idle ones; a `cold` one, that is new, is used last."""
        if (wanting := self._first()) is not None:
            wanting.set_result(connection)
        elif cold:
            self._idle.insert(0, connection)
        else:
            self._idle.append(connection)

    def _open_enough(self, wanting: asyncio.Future[C]) -> None:
        """One for each that waits; `wanting` hears if this one fails."""
        if self._opening < len(self._wanting):
            self.calls.start(self._reopen()).add_done_callback(partial(self._opened, wanting))
            self._opening += 1

    def _opened(self, wanting: asyncio.Future[C], opening: asyncio.Task[C]) -> None:
        self._opening -= 1
        error = ConnectionLost("the call was broken off") if opening.cancelled() else opening.exception()
        if error is None:
            self._give(opening.result(), cold=True)
        elif wanting in self._wanting and not wanting.done():
            self._wanting.remove(wanting)
            wanting.set_exception(error)
        elif self._wanting:  # who came later hears of a try of its own
            self._open_enough(self._wanting[0])

    def _first(self) -> asyncio.Future[C] | None:
        while self._wanting:
            if not (wanting := self._wanting.popleft()).done():  # else its caller has been cancelled
                return wanting
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            self._cut(self._idle.pop())

    @abstractmethod
    async def _open(self) -> C:
        """A connection to a server that has not been reached before. Raises ConfigurationError or ConnectionLost."""

    @abstractmethod
    async def _reopen(self) -> C:
        """A connection to a server that has worked before. Raises ConnectionLost."""

    @abstractmethod
    async def _is_there(self, connection: C) -> bool:
        """Whether nothing speaks against using this idle connection."""

    @abstractmethod
    async def _insist(self, question: Callable[[C], Awaitable[T]]) -> T:
        """Ask within the timeout, and again what the server has rolled back for the sake of another."""

    @abstractmethod
    def _explain(self, error: Exception) -> DriverError:
        """What an error of the client library is for us."""

    @abstractmethod
    async def _part(self, connection: C) -> None:
        """Close politely; abruptly if the server does not answer."""

    @abstractmethod
    def _cut(self, connection: C) -> None:
        """Close abruptly."""

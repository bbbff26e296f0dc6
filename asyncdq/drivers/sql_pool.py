"""The connections to an SQL server that serve calls: few, kept open, thrown away as soon as one of them fails.

The pools of the client libraries do not do: they spend a round trip more per call, and end a statement, or its
connection, when its caller no longer waits (rule 3 of the contract).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from ..errors import ConnectionLost, DriverError
from .calls import Calls

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")


class Pool(ABC, Generic[C]):
    """Up to `most` connections, the one used last first. `where` is the server; `timeout` the seconds of a call."""

    foreign: tuple[type[Exception], ...]
    """What the client library raises."""

    def __init__(self, where: str, timeout: float, most: int) -> None:
        self._where = where
        self._timeout = timeout
        self._idle: list[C] = []
        self._room = asyncio.Semaphore(most)
        self._turn = asyncio.Semaphore(1)
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
        async with self._through(self._room):
            try:
                return await self._insist(question)
            except self.foreign as error:
                lost = self._explain(error)
                if isinstance(lost, ConnectionLost):
                    self._drop_idle()  # what has cut this one has most likely cut them all
                raise lost from error

    @asynccontextmanager
    async def in_turn(self) -> AsyncGenerator[None]:
        """One caller after the other: what asks in here arrives at the server in the order of the calls."""
        async with self._through(self._turn):
            yield

    async def close(self) -> None:
        """Wait for the calls under way, then take leave of the server."""
        await self.calls.ended()
        while self._idle:
            await self._part(self._idle.pop())

    @asynccontextmanager
    async def _through(self, gate: asyncio.Semaphore) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self._timeout) if gate.locked() else nullcontext():
                await gate.acquire()
        except TimeoutError:
            raise ConnectionLost(f"all connections to {self._where} are busy") from None
        try:
            yield
        finally:
            gate.release()

    def _drop_idle(self) -> None:
        while self._idle:
            self._cut(self._idle.pop())

    @abstractmethod
    async def _open(self) -> C:
        """A connection to a server that has not been reached before. Raises ConfigurationError or ConnectionLost."""

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

"""The connections that serve calls: few, kept open, and thrown away as soon as one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ..errors import ConnectionLost
from .postgres_errors import FOREIGN, TRY_AGAIN, refused
from .postgres_link import Connection, Link, bounded

T = TypeVar("T")

TRIES = 5
"""How often a statement is repeated that the server chose to roll back for the sake of another."""


class Pool:
    """Up to `most` connections, the one used last first. asyncpg's own pool resets each connection with one
    more round trip per call, and cancels what its caller no longer waits for."""

    def __init__(self, link: Link, most: int) -> None:
        self._link = link
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(most)
        self._turn = asyncio.Semaphore(1)
        self._under_way: set[asyncio.Task[Any]] = set()

    async def start(self, least: int) -> None:
        """Open the first `least` connections. Raises ConfigurationError or ConnectionLost."""
        try:
            while len(self._idle) < least:
                self._idle.append(await self._link.open())
        except BaseException:
            self._drop_idle()
            raise

    async def finish(self, call: Coroutine[Any, Any, T]) -> T:
        """The call's result; the call runs to its end, also when its caller gives up."""
        task = asyncio.get_running_loop().create_task(call)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        """The answer of the server. Raises DriverError; ConnectionLost after the timeout of a call."""
        async with self._through(self._room):
            try:
                return await self._insist(question)
            except FOREIGN as error:
                lost = refused(error, self._link.address.where)
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
        while self._under_way:
            await asyncio.wait(self._under_way)
        while self._idle:
            await part(self._idle.pop())

    @asynccontextmanager
    async def _through(self, gate: asyncio.Semaphore) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self._link.timeout):
                await gate.acquire()
        except TimeoutError:
            raise ConnectionLost(f"all connections to {self._link.address.where} are busy") from None
        try:
            yield
        finally:
            gate.release()

    async def _insist(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        for _ in range(TRIES - 1):
            try:
                return await self._attempt(question)
            except TRY_AGAIN:
                continue
        return await self._attempt(question)

    async def _attempt(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self._take()
        try:
            return await bounded(connection, self._link.timeout, question(connection))
        finally:
            if not connection.is_closed():
                self._idle.append(connection)

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self._link.reopen()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().terminate()


async def part(connection: Connection) -> None:
    """Close politely; abruptly if the server does not answer."""
    try:
        await connection.close(timeout=2.0)
    except FOREIGN:
        connection.terminate()

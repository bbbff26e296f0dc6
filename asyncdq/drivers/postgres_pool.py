"""The pool of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from ..errors import DriverError
from .postgres_errors import FOREIGN, TRY_AGAIN, refused
from .postgres_link import Connection, Link, bounded
from .sql_pool import Pool, step_aside

T = TypeVar("T")

TRIES = 10
"""How often a statement is tried that the server chose to roll back for the sake of another."""

DOUBT = 30.0
"""Seconds of silence after which a connection is tried before it is used: routers forget what is quiet."""

GONE = 2.0
"""Seconds in which it answers then, or another one is taken."""


class PostgresPool(Pool[Connection]):
    """Up to `most` connections by `link`."""

    foreign = FOREIGN

    def __init__(self, link: Link, most: int) -> None:
        super().__init__(link.address.where, link.timeout, most)
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._used: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    async def _open(self) -> Connection:
        return await self._link.open()

    async def _insist(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        for _ in range(TRIES - 1):
            try:
                return await self._attempt(question)
            except TRY_AGAIN:
                await step_aside()
        return await self._attempt(question)

    async def _attempt(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self._take()
        try:
            return await bounded(connection, self._timeout, question(connection))
        finally:
            if not connection.is_closed():
                self._used[connection] = self._loop.time()
                self._give(connection)

    async def _reopen(self) -> Connection:
        return await self._link.reopen()

    async def _is_there(self, connection: Connection) -> bool:
        if connection.is_closed():
            return False
        return self._loop.time() - self._used.get(connection, 0.0) < DOUBT or await _answers(connection)

    def _explain(self, error: Exception) -> DriverError:
        return refused(error, self._where)

    async def _part(self, connection: Connection) -> None:
        await part(connection)

    def _cut(self, connection: Connection) -> None:
        connection.terminate()


async def _answers(connection: Connection) -> bool:
    try:
        await bounded(connection, GONE, connection.execute("select"))
    except FOREIGN:
        return False
    return True


async def part(connection: Connection) -> None:
    """Close politely; abruptly if the server does not answer."""
    try:
        await connection.close(timeout=2.0)
    except FOREIGN:
        connection.terminate()

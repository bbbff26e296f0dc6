"""The pool of PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import DriverError
from .postgres_errors import FOREIGN, TRY_AGAIN, refused
from .postgres_link import Connection, Link, bounded
from .sql_pool import Pool

T = TypeVar("T")

TRIES = 5
"""How often a statement is repeated that the server chose to roll back for the sake of another."""


class PostgresPool(Pool[Connection]):
    """Up to `most` connections by `link`."""

    foreign = FOREIGN

    def __init__(self, link: Link, most: int) -> None:
        super().__init__(link.address.where, link.timeout, most)
        self._link = link

    async def _open(self) -> Connection:
        return await self._link.open()

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
            return await bounded(connection, self._timeout, question(connection))
        finally:
            if not connection.is_closed():
                self._give(connection)

    async def _reopen(self) -> Connection:
        return await self._link.reopen()

    async def _is_there(self, connection: Connection) -> bool:
        return not connection.is_closed()

    def _explain(self, error: Exception) -> DriverError:
        return refused(error, self._where)

    async def _part(self, connection: Connection) -> None:
        await part(connection)

    def _cut(self, connection: Connection) -> None:
        connection.terminate()


async def part(connection: Connection) -> None:
    """Close politely; abruptly if the server does not answer."""
    try:
        await connection.close(timeout=2.0)
    except FOREIGN:
        connection.terminate()

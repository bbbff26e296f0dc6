"""The pool of MySQL and MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiomysql import Connection

from ..errors import Blocked, ConnectionLost, DriverError
from .mysql_errors import FOREIGN, TRY_AGAIN, code_of, refused
from .mysql_link import Link, cut
from .sql_pool import Pool, step_aside
from .transport import transport_of

T = TypeVar("T")

TRIES = 20
"""How often a call is tried that the server chose to roll back for the sake of another."""

DOUBT = 1.0
"""Seconds without use after which a connection is asked whether it is still there, for 0.1 ms."""

GONE = 2.0
"""Seconds without an answer to that after which it is not: a router may have forgotten it."""


class MySQLPool(Pool[Connection]):
    """Up to `most` connections by `link`."""

    foreign = FOREIGN

    def __init__(self, link: Link, most: int) -> None:
        super().__init__(link.address.where, link.timeout, most)
        self._link = link
        self._loop = asyncio.get_running_loop()

    async def _open(self) -> Connection:
        return await self._link.open()

    async def _insist(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._timeout):
            for _ in range(TRIES - 1):
                try:
                    return await self._attempt(question)
                except FOREIGN as error:
                    if code_of(error) not in TRY_AGAIN:
                        raise
                await step_aside()
            return await self._attempt(question)

    async def _attempt(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        """An error leaves no transaction open: the connection rolls it back, or is thrown away with it."""
        connection = await self._take()
        transport = transport_of(connection)
        try:
            answer = await question(connection)
        except BaseException as error:
            alive = isinstance(error, Blocked) or code_of(error) in TRY_AGAIN
            if alive and await _rolls_back(connection):
                self._give(connection)
            else:
                cut(connection, transport)
            raise
        self._give(connection)
        return answer

    async def _reopen(self) -> Connection:
        return await self._link.reopen()

    async def _is_there(self, connection: Connection) -> bool:
        unused = self._loop.time() - connection.last_usage
        return unused < DOUBT or (unused < self._link.idle and await _answers(connection))

    def _explain(self, error: Exception) -> DriverError:
        if isinstance(error, TimeoutError):
            return ConnectionLost(f"no answer from {self._where} in {self._timeout:g} s")
        return refused(error, self._where)

    async def _part(self, connection: Connection) -> None:
        writer = getattr(connection, "_writer", None)
        try:
            async with asyncio.timeout(GONE):
                await connection.ensure_closed()
                if writer is not None:
                    await writer.wait_closed()  # an encrypted one takes leave in several trips
        except FOREIGN:
            if writer is not None:
                writer.transport.abort()

    def _cut(self, connection: Connection) -> None:
        cut(connection, transport_of(connection))


async def _answers(connection: Connection) -> bool:
    transport = transport_of(connection)
    try:
        async with asyncio.timeout(GONE):
            await connection.ping(reconnect=False)
    except FOREIGN:
        cut(connection, transport)
        return False
    return True


async def _rolls_back(connection: Connection) -> bool:
    try:
        await connection.rollback()
    except FOREIGN:
        return False
    return True

"""Which connection a call gets when none is idle. What a connection can do is tested against the real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import pytest

from asyncdq.drivers.sql_pool import Pool
from asyncdq.errors import ConnectionLost, DriverError

T = TypeVar("T")


class Numbered(Pool[int]):
    """Connections are numbers. Opening one takes until the test lets it."""

    foreign = (OSError,)

    def __init__(self, most: int = 3) -> None:
        super().__init__("here", 10.0, most)
        self.doors: list[asyncio.Future[None]] = []
        self._numbers = count(1)

    @property
    def idle(self) -> list[int]:
        return self._idle

    async def _open(self) -> int:
        return next(self._numbers)

    async def _reopen(self) -> int:
        self.doors.append(asyncio.get_running_loop().create_future())
        await self.doors[-1]
        return await self._open()

    async def _is_there(self, connection: int) -> bool:
        return True

    async def _insist(self, question: Callable[[int], Awaitable[T]]) -> T:
        connection = await self._take()
        try:
            return await question(connection)
        finally:
            self._give(connection)

    def _explain(self, error: Exception) -> DriverError:
        return ConnectionLost(str(error))

    async def _part(self, connection: int) -> None: ...

    def _cut(self, connection: int) -> None: ...


async def turns() -> None:
    """All that is ready runs."""
    for _ in range(10):
        await asyncio.sleep(0)


class Call:
    """A call that goes on until the test ends it, and the connection that it has."""

    def __init__(self, pool: Numbered) -> None:
        self.connection: int | None = None
        self.over = asyncio.Event()
        self.task = asyncio.create_task(pool.ask(self._question))

    async def _question(self, connection: int) -> int:
        self.connection = connection
        await self.over.wait()
        return connection

    async def end(self) -> int:
        self.over.set()
        return await self.task


async def busy(pool: Numbered) -> Call:
    """A call on the only connection."""
    await pool.start(1)
    call = Call(pool)
    await turns()
    assert call.connection == 1
    return call


async def test_a_call_takes_what_comes_free_before_its_own_connection_is_open() -> None:
    pool = Numbered()
    first = await busy(pool)
    second = Call(pool)
    await turns()
    assert len(pool.doors) == 1
    assert await first.end() == 1
    await turns()
    assert second.connection == 1
    third = Call(pool)
    await turns()
    assert len(pool.doors) == 1  # the one that is being opened is for this one now
    pool.doors[0].set_result(None)
    await turns()
    assert third.connection == 2
    assert [await second.end(), await third.end()] == [1, 2]
    await pool.close()
    assert pool.idle == []


async def test_what_is_opened_for_nobody_is_idle() -> None:
    pool = Numbered()
    first = await busy(pool)
    second = Call(pool)
    await turns()
    assert [await first.end(), await second.end()] == [1, 1]
    pool.doors[0].set_result(None)
    await turns()
    assert pool.idle == [2, 1]  # the new one is used last
    await pool.close()


async def test_a_connection_that_cannot_be_opened_fails_the_call_for_which_it_was() -> None:
    pool = Numbered()
    first = await busy(pool)
    second, third = Call(pool), Call(pool)
    await turns()
    pool.doors[0].set_exception(ConnectionLost("refused"))
    with pytest.raises(ConnectionLost, match="refused"):
        await second.task
    assert [await first.end(), await third.end()] == [1, 1]
    pool.doors[1].set_exception(ConnectionLost("refused"))  # which nobody needs any more
    await turns()
    assert await Call(pool).end() == 1
    await pool.close()


async def test_who_comes_after_an_opening_began_that_fails_has_a_try_of_its_own() -> None:
    pool = Numbered()
    first = await busy(pool)
    second = Call(pool)
    await turns()
    assert await first.end() == 1
    await turns()
    third = Call(pool)
    await turns()
    pool.doors[0].set_exception(ConnectionLost("refused"))
    await turns()
    pool.doors[1].set_result(None)
    assert await third.end() == 2
    assert await second.end() == 1
    await pool.close()


async def test_a_call_whose_opening_is_broken_off_is_told() -> None:
    pool = Numbered()
    first = await busy(pool)
    second = Call(pool)
    await turns()
    pool.doors[0].cancel()
    with pytest.raises(ConnectionLost):
        await second.task
    assert await first.end() == 1
    await pool.close()


@pytest.mark.parametrize("late", range(6))
async def test_a_call_that_is_cancelled_at_any_moment_leaves_its_connection_to_others(late: int) -> None:
    pool = Numbered()
    first = await busy(pool)
    second, third = Call(pool), Call(pool)
    await turns()
    pool.doors[0].set_result(None)
    for _ in range(late):  # still being opened, opened, handed over, in use
        await asyncio.sleep(0)
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.task
    assert await first.end() == 1
    assert await third.end() in {1, 2}
    pool.doors[1].set_result(None)
    await turns()
    assert sorted(pool.idle) == [1, 2, 3]
    await pool.close()

"""A PostgreSQL server that dies or freezes."""

from __future__ import annotations

import asyncio
import time

import pytest

from asyncdq.drivers.postgres import PostgresDriver
from asyncdq.errors import ConnectionLost
from asyncdq.message import Again, Dead, Delivery, Done, Message
from tests.servers.server import Server

pytestmark = pytest.mark.parametrize("own_server", ["postgres"], indirect=True)


def message(id: str, queue: str = "work") -> Message:
    return Message(id, queue, b"")


async def claim(driver: PostgresDriver, queue: str = "work") -> list[Delivery]:
    return await driver.dequeue({queue: 1000}, 1000, 60)


async def ready_again(driver: PostgresDriver, within: float = 10.0) -> None:
    """The driver answers; asked until it does."""
    async with asyncio.timeout(within):
        while True:
            try:
                await driver.stats("work")
            except ConnectionLost:
                await asyncio.sleep(0.05)  # between two tries
            else:
                return


async def test_a_server_that_was_killed_has_lost_nothing_and_is_used_again(own_server: Server) -> None:
    stored: list[str] = []

    async def produce(driver: PostgresDriver) -> None:
        while True:
            id = f"{len(stored)}"
            await driver.enqueue([message(id)])
            stored.append(id)

    async with PostgresDriver(own_server.url) as driver:
        await driver.setup()
        await driver.enqueue([message("kept", "other"), message("dead", "graves")])
        (kept,), (dead,) = await claim(driver, "other"), await claim(driver, "graves")
        await driver.settle([(kept, Again(0, counted=True)), (dead, Dead("rejected"))])
        waiter = asyncio.create_task(driver.wait(["nothing"], 30))
        producer = asyncio.create_task(produce(driver))
        await asyncio.sleep(0.3)  # let it store some
        own_server.kill9()
        with pytest.raises(ConnectionLost):
            await producer
        await waiter
        with pytest.raises(ConnectionLost):
            await claim(driver)
        own_server.start()
        await ready_again(driver)
        found: set[str] = set()
        while more := await claim(driver):
            found.update(each.id for each in more)
        assert set(stored) <= found
        assert [each.attempt for each in await claim(driver, "other")] == [2]
        assert [letter.id for letter in await driver.dead("graves", 9)] == ["dead"]


async def test_a_frozen_server_is_a_lost_connection_in_time(own_server: Server) -> None:
    async with PostgresDriver(own_server.url, timeout=1.0) as driver:
        await driver.setup()
        await driver.enqueue([message("a")])
        (a,) = await claim(driver)
        own_server.pause()
        began = time.monotonic()
        try:
            calls = [driver.enqueue([message("b")]), claim(driver), driver.settle([(a, Done())])]
            answers = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            own_server.resume()
        assert [type(answer) for answer in answers] == [ConnectionLost] * 3
        assert time.monotonic() - began < 4
        await ready_again(driver)
        assert await driver.extend([a], 60) in ([], [a])

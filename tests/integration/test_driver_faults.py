"""A server that dies or freezes under a driver: the same is expected of all that have one."""

from __future__ import annotations

import asyncio
import time

import pytest

from asyncdq import drivers
from asyncdq.drivers.base import BaseDriver, DeadLetters
from asyncdq.errors import ConnectionLost
from asyncdq.message import Again, Dead, Delivery, Done
from asyncdq.testing.claims import LONG, message
from tests.servers.server import Server

from .outage import ready_again

every_server = pytest.mark.parametrize("own_server", ["postgres", "mysql", "rabbitmq"], indirect=True)


async def claim(driver: BaseDriver, queue: str = "work") -> list[Delivery]:
    return await driver.dequeue({queue: 500}, 500, LONG)


@every_server
async def test_a_server_that_was_killed_has_lost_nothing_and_is_used_again(own_server: Server) -> None:
    stored: list[str] = []

    async def produce(driver: BaseDriver) -> None:
        while True:
            id = f"{len(stored)}"
            await driver.enqueue([message(id)])
            stored.append(id)

    async with drivers.from_url(own_server.url) as driver:
        assert isinstance(driver, DeadLetters)
        await driver.setup()
        later = message("later", "delayed", delay=1.0)
        await driver.enqueue([message("kept", "other"), message("dead", "graves"), later])
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
        async with asyncio.timeout(5):
            while not (due := await claim(driver, "delayed")):
                await driver.wait(["delayed"], 5)  # which may end early, as when it has just connected again
        assert [each.id for each in due] == ["later"]


@every_server
async def test_a_frozen_server_is_a_lost_connection_in_time(own_server: Server) -> None:
    async with drivers.from_url(f"{own_server.url}?timeout=1") as driver:
        await driver.setup()
        await driver.enqueue([message("a")])
        (a,) = await claim(driver)
        own_server.pause()
        began = time.monotonic()
        try:
            calls = [driver.enqueue([message("b")]), driver.settle([(a, Done())]), driver.stats("work")]
            answers = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            own_server.resume()
        assert [type(answer) for answer in answers] == [ConnectionLost] * 3
        assert time.monotonic() - began < 4
        await ready_again(driver)
        assert await driver.extend([a], LONG) in ([], [a])

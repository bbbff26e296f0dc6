"""An SQS that is away, or does not answer."""

from __future__ import annotations

import asyncio
import time

import pytest

from asyncdq.drivers.sqs import SQSDriver
from asyncdq.errors import ConnectionLost
from asyncdq.message import Delivery, Done, Message
from tests.servers import Server

pytestmark = pytest.mark.parametrize("own_server", ["sqs"], indirect=True)


def message(id: str) -> Message:
    return Message(id, "work", b"")


async def claim(driver: SQSDriver, lease: float = 60.0) -> list[Delivery]:
    return await driver.dequeue({"work": 10}, 10, lease)


async def test_a_server_that_is_down_is_connection_lost_and_used_when_it_is_back(own_server: Server) -> None:
    async with SQSDriver.from_url(own_server.url) as driver:
        await driver.enqueue([message("a"), message("b")])
        (held,) = await driver.dequeue({"work": 1}, 1, 60)
        own_server.stop()
        with pytest.raises(ConnectionLost):
            await driver.enqueue([message("c")])
        with pytest.raises(ConnectionLost):
            await driver.settle([(held, Done())])
        with pytest.raises(ConnectionLost):
            await driver.wait(["work"], 5)
        own_server.start()
        assert await driver.settle([(held, Done())]) == []
        assert [delivery.id for delivery in await claim(driver)] == ["b"]


async def test_a_server_that_is_down_at_connect_is_connection_lost(own_server: Server) -> None:
    own_server.stop()
    driver = SQSDriver.from_url(own_server.url)
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1"):
        await driver.connect()
    assert not driver.connected
    own_server.start()
    async with driver:
        await driver.enqueue([message("a")])


async def test_a_server_that_does_not_answer_is_connection_lost_within_the_timeout(own_server: Server) -> None:
    async with SQSDriver.from_url(f"{own_server.url}&timeout=2") as driver:
        await driver.enqueue([message("a"), message("b")])
        own_server.pause()
        began = time.monotonic()
        for call in (driver.enqueue([message("c")]), driver.dequeue({"work": 1}, 1, 60), driver.stats("work")):
            with pytest.raises(ConnectionLost, match="does not answer"):
                await call
        assert time.monotonic() - began < 3 * 2 + 2
        own_server.resume()
        async with asyncio.timeout(5):
            came = await claim(driver)
            while not {"b"} <= {delivery.id for delivery in came}:
                await driver.wait(["work"], 1)
                came += await claim(driver)


async def test_a_driver_ends_in_time_though_the_server_does_not_answer(own_server: Server) -> None:
    driver = SQSDriver.from_url(f"{own_server.url}&timeout=2")
    await driver.connect()
    await driver.enqueue([message("a")])
    await claim(driver)
    await driver.wait(["work"], 0.05)  # its long poll goes on
    own_server.pause()
    began = time.monotonic()
    await driver.disconnect()
    assert time.monotonic() - began < 6
    own_server.resume()


async def test_queues_that_a_killed_server_forgot_are_made_again(own_server: Server) -> None:
    async with SQSDriver.from_url(own_server.url) as driver:
        await driver.enqueue([message("a")])
        own_server.kill9()
        own_server.start()
        await driver.enqueue([message("b")])
        assert [delivery.id for delivery in await claim(driver)] == ["b"]

"""A PostgreSQL server that dies or freezes."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from asyncdq.drivers.postgres import PostgresDriver
from asyncdq.drivers.postgres_address import FORM, Address
from asyncdq.drivers.postgres_link import Link
from asyncdq.drivers.postgres_tables import LONGEST_SLEEP
from asyncdq.drivers.postgres_watch import PATIENCE
from asyncdq.errors import ConnectionLost
from asyncdq.message import Delivery, Message
from tests.servers.proxy import Proxy
from tests.servers.server import Server

from .standbys import make_read_only, several

pytestmark = pytest.mark.parametrize("own_server", ["postgres"], indirect=True)


def message(id: str, queue: str = "work") -> Message:
    return Message(id, queue, b"")


async def claim(driver: PostgresDriver, queue: str = "work") -> list[Delivery]:
    return await driver.dequeue({queue: 1000}, 1000, 60)


@pytest.mark.parametrize("queue_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("wish", ["", "?target_session_attrs=read-write"])
async def test_of_several_hosts_the_one_that_can_be_written_is_used(
    own_server: Server, queue_url: str, wish: str
) -> None:
    await make_read_only(own_server.url)
    async with PostgresDriver(several(own_server.url, queue_url) + wish) as driver:
        await driver.setup()
        assert await driver.enqueue([message("a")]) == []
    async with PostgresDriver(queue_url) as driver:
        assert [each.id for each in await claim(driver)] == ["a"]


async def test_that_no_host_can_be_written_is_said_whichever_was_the_last(own_server: Server) -> None:
    await make_read_only(own_server.url)
    down = "postgresql://asyncdq@127.0.0.1:1"
    for both in several(own_server.url, down), several(down, own_server.url), several(own_server.url, own_server.url):
        with pytest.raises(ConnectionLost, match="none of these hosts can be written: standbys, or read-only"):
            await PostgresDriver(both).connect()
        with pytest.raises(ConnectionLost, match="none of these hosts is what target_session_attrs asks for"):
            await PostgresDriver(f"{both}?target_session_attrs=standby").connect()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_a_first_host_that_hangs_up_does_not_hide_the_second(own_server: Server) -> None:
    async with await asyncio.start_server(hang_up, "127.0.0.1") as server:
        place = "postgresql://asyncdq@{}:{}/asyncdq".format(*server.sockets[0].getsockname())
        for ssl in "disable", "prefer":
            async with PostgresDriver(f"{several(place, own_server.url)}?sslmode={ssl}") as driver:
                await driver.setup()


@pytest.mark.parametrize("queue_url", ["postgres"], indirect=True)
async def test_who_waits_at_a_host_that_can_be_written_no_more_goes_on_to_the_next(
    own_server: Server, queue_url: str
) -> None:
    async with PostgresDriver(several(own_server.url, queue_url)) as driver, PostgresDriver(queue_url) as producer:
        await driver.setup()
        await producer.setup()
        await driver.wait(["work"], 30)  # until it listens
        waiter = asyncio.create_task(driver.wait(["work"], 30))
        await asyncio.sleep(0.1)  # it has looked twice and sleeps now
        await make_read_only(own_server.url)
        await producer.enqueue([message("a")])
        async with asyncio.timeout(LONGEST_SLEEP + 1):
            await waiter
        with suppress(ConnectionLost):  # by the connections of the pool, which are given up then
            await driver.purge("other")
        while not await claim(driver):
            await driver.wait(["work"], 30)
        await producer.enqueue([message("b")])
        async with asyncio.timeout(LONGEST_SLEEP + 1):
            while not await claim(driver):
                await driver.wait(["work"], 30)


async def test_a_listening_connection_that_goes_silent_delays_by_a_second_and_is_given_up(own_server: Server) -> None:
    async with Proxy(own_server.url) as proxy, PostgresDriver(own_server.url) as driver:
        await driver.setup()
        watch = driver._here().watch
        watch._link = Link(Address.of(FORM.read(proxy.url)), 20.0, False)  # only what listens goes this way
        for id in "ab":
            waiter = asyncio.create_task(driver.wait(["work"], 30))
            await asyncio.sleep(0.1)  # it has looked twice and sleeps now
            if id == "b":
                proxy.blackhole()
            await driver.enqueue([message(id)])
            async with asyncio.timeout(2):  # a second's sleep, and a quarter of one without an answer
                await waiter
            assert [each.id for each in await claim(driver)] == [id]
        connections = len(proxy._open)
        began = time.monotonic()
        while len(proxy._open) == connections:
            await driver.wait(["nothing"], 30)
            assert time.monotonic() - began < PATIENCE + 2

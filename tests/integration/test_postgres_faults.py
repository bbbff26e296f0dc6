"""A PostgreSQL server that dies or freezes."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import asyncpg
import pytest

from asyncdq.drivers.postgres import PostgresDriver
from asyncdq.drivers.postgres_address import FORM, Address
from asyncdq.drivers.postgres_link import Link
from asyncdq.drivers.postgres_watch import PATIENCE
from asyncdq.message import Delivery, Message
from tests.servers.proxy import Proxy
from tests.servers.server import Server

pytestmark = pytest.mark.parametrize("own_server", ["postgres"], indirect=True)


def message(id: str, queue: str = "work") -> Message:
    return Message(id, queue, b"")


async def claim(driver: PostgresDriver, queue: str = "work") -> list[Delivery]:
    return await driver.dequeue({queue: 1000}, 1000, 60)


@pytest.mark.parametrize("queue_url", ["postgres"], indirect=True)
async def test_of_several_hosts_the_one_that_can_be_written_is_used(own_server: Server, queue_url: str) -> None:
    standby, primary = urlsplit(own_server.url), urlsplit(queue_url)
    place = primary.netloc.rpartition("@")[2]
    both = primary._replace(netloc=f"{standby.netloc},{place}").geturl()
    admin = await asyncpg.connect(own_server.url)
    await admin.execute("alter system set default_transaction_read_only = on")  # as a standby looks to who connects
    await admin.execute("select pg_reload_conf()")
    await admin.close()
    async with PostgresDriver(both) as driver:
        await driver.setup()
        assert await driver.enqueue([message("a")]) == []
    async with PostgresDriver(queue_url) as driver:
        assert [each.id for each in await claim(driver)] == ["a"]


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

"""A MySQL server that dies, freezes, is too old, or wants encryption."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from asyncdq.drivers.mysql import MySQLDriver
from asyncdq.drivers.mysql_link import ask
from asyncdq.errors import ConfigurationError, ConnectionLost
from asyncdq.message import Dead, Delivery, Done, Message
from tests.servers.fixtures import skip_unless_selected
from tests.servers.mysql import MySQL
from tests.servers.native import Native
from tests.servers.proxy import Proxy
from tests.servers.server import Server

on_mysql = pytest.mark.parametrize("own_server", ["mysql"], indirect=True)


def message(id: str, queue: str = "work") -> Message:
    return Message(id, queue, b"")


async def claim(driver: MySQLDriver, queue: str = "work") -> list[Delivery]:
    return await driver.dequeue({queue: 1000}, 1000, 60)


@on_mysql
async def test_a_statement_that_takes_too_long_is_ended_by_the_server_first(own_server: Server) -> None:
    async with MySQLDriver(own_server.url, timeout=1.0) as driver, MySQLDriver(own_server.url) as other:
        await driver.setup()
        blocking = await other._link.open()
        await ask(blocking, "lock tables task_queue write")
        with pytest.raises(ConnectionLost, match=r"max_statement_time exceeded|Lock wait timeout|no answer"):
            await driver.enqueue([message("a")])
        await ask(blocking, "unlock tables")
        await blocking.ensure_closed()
        assert await claim(driver) == []


@on_mysql
async def test_a_burial_that_had_to_wait_for_its_number_is_tried_again(own_server: Server) -> None:
    async with MySQLDriver(own_server.url) as other, MySQLDriver(own_server.url, timeout=4.0) as driver:
        await driver.setup()
        await driver.enqueue([message("a")])
        (a,) = await claim(driver)
        busy = await other._link.open()
        inserting = asyncio.create_task(
            ask(
                busy,
                "insert into dead_letter_queue (queue, id, body, reason, error, detail, attempts, died_at)"
                " select 'other', n, '', 'lost', '', '', 1, sleep(n) from (select 0 as n union all select 2) as two",
            )
        )
        await asyncio.sleep(0.3)  # by then it sleeps over the numbers, for longer than a call waits for a lock
        assert await driver.settle([(a, Dead("rejected"))]) == []
        await inserting
        await busy.ensure_closed()


@on_mysql
async def test_a_requeue_whose_id_changes_meanwhile_is_tried_again(own_server: Server) -> None:
    async with MySQLDriver(own_server.url) as driver:
        await driver.setup()
        await driver.enqueue([message("a")])
        await driver.settle([(each, Dead("rejected")) for each in await claim(driver)])
        await driver.enqueue([message("a")])
        busy = await driver._link.open()
        await ask(busy, "set @new = 1 /*M! , global innodb_snapshot_isolation = 1 */")  # as it is from MariaDB 11.6 on
        await ask(busy, "begin; update task_queue set lost = 7")
        async with MySQLDriver(own_server.url) as other:
            requeueing = asyncio.create_task(other.requeue("work", ["a"]))
            await asyncio.wait([requeueing], timeout=0.3)
            await ask(busy, "commit")
            assert await requeueing == []
        assert [each.id for each in await driver.dead("work", 9)] == ["a"]
        await busy.ensure_closed()


@on_mysql
async def test_a_call_that_fails_after_its_caller_has_left_is_no_news(own_server: Server) -> None:
    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with MySQLDriver(own_server.url) as driver:
        await driver.setup()
        own_server.pause()
        call = asyncio.create_task(driver.enqueue([message("a")]))
        await asyncio.wait([call], timeout=0.1)
        call.cancel()
        await asyncio.wait([call])
        own_server.kill9()
    del call
    gc.collect()
    assert said == []


@on_mysql
async def test_a_claim_and_an_outcome_whose_replies_are_lost_leave_no_lock_behind(own_server: Server) -> None:
    async with MySQLDriver(own_server.url) as healthy, Proxy(own_server.url) as proxy, MySQLDriver(proxy.url) as driver:
        await healthy.setup()
        await healthy.enqueue([message("a"), message("b")])
        proxy.delay = 0.2  # a server that sees the connection break before it is done rolls back, and that is no loss
        lost = proxy.lose_reply_to("straight_join")
        with pytest.raises(ConnectionLost):
            await driver.dequeue({"work": 1}, 1, 1.5)
        assert lost.is_set()
        assert [each.id for each in await claim(healthy)] == ["b"]
        await asyncio.sleep(1.5)  # the lease of the claim that nobody heard of
        (a,) = await claim(driver)
        assert (a.id, a.lost) == ("a", 1)
        proxy.lose_reply_to("delete")
        with pytest.raises(ConnectionLost):
            await driver.settle([(a, Done())])
        assert await driver.settle([(a, Done())]) == [a]
        assert await healthy.enqueue([message("a")]) == []


@on_mysql
async def test_a_connection_that_a_router_has_forgotten_costs_two_seconds(own_server: Server) -> None:
    async with Proxy(own_server.url) as proxy, MySQLDriver(proxy.url) as driver:
        await driver.setup()
        proxy.forget()
        await asyncio.sleep(1.1)  # for so long a connection is believed to live
        began = time.monotonic()
        assert await driver.enqueue([message("a")]) == []
        assert time.monotonic() - began < 4


class Special(MySQL):
    """A server with options of its own, prepared like any other."""

    def __init__(self, options: Sequence[str], preparation: Sequence[list[str]] = ()) -> None:
        self._options, self._preparation = options, preparation

    def preparation(self, data: Path) -> Sequence[list[str]]:
        return [*super().preparation(data), *self._preparation]

    def command(self, data: Path, port: int) -> list[str]:
        return [*super().command(data, port), *self._options]


@pytest.fixture
def special(request: pytest.FixtureRequest) -> Iterator[Callable[[Special], str]]:
    """Starts such a server, and gives its URL."""
    skip_unless_selected("mysql", request.config)
    servers: list[Native] = []

    def start(kind: Special) -> str:
        if not kind.program():
            pytest.skip("a server of this kind needs mariadbd")
        servers.append(Native(kind))
        servers[-1].start()
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


async def test_a_server_that_is_too_old_is_refused(special: Callable[[Special], str]) -> None:
    url = special(Special(["--version=10.5.29-MariaDB"]))
    with pytest.raises(ConfigurationError, match=r"is MariaDB 10\.5\.29-MariaDB; asyncdq needs 10\.6\.0 or newer"):
        await MySQLDriver(url).connect()


async def test_a_server_that_cannot_encrypt_is_refused_where_it_must(special: Callable[[Special], str]) -> None:
    url = special(Special(["--skip-ssl"]))
    with pytest.raises(ConfigurationError, match="check ssl_mode"):
        await MySQLDriver(f"{url}?ssl_mode=required").connect()
    async with MySQLDriver(f"{url}?ssl_mode=preferred") as driver:
        assert driver.connected


CERTIFICATE = [
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
    *("-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"),
]


async def test_a_connection_is_encrypted_where_the_server_can(
    special: Callable[[Special], str], tmp_path: Path
) -> None:
    url = special(Special(["--ssl-cert=cert.pem", "--ssl-key=key.pem", "--require-secure-transport"], [CERTIFICATE]))
    async with MySQLDriver(url) as driver:
        await driver.setup()
        assert await driver.enqueue([message("a")]) == []
    async with MySQLDriver(f"{url}?ssl_mode=required") as driver:
        assert [each.id for each in await claim(driver)] == ["a"]
    gc.collect()  # what is left open complains, and fails the test
    async with Proxy(url) as proxy, MySQLDriver(f"{proxy.url}?ssl_mode=required&timeout=1") as driver:
        await claim(driver)
        proxy.blackhole()
        with pytest.raises(ConnectionLost):
            await claim(driver)
        gc.collect()  # nor is one left that waits for its server's farewell
    with pytest.raises(ConfigurationError, match="certificate"):
        await MySQLDriver(f"{url}?ssl_mode=verify_ca").connect()
    with pytest.raises(ConfigurationError, match="refuses the connection"):
        await MySQLDriver(f"{url}?ssl_mode=disabled").connect()

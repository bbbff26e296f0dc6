"""Tables and DSNs of MySQL and MariaDB: what they may be, and what is refused."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiomysql
import pytest

from asyncdq.drivers import from_url
from asyncdq.drivers.mysql import MySQLDriver
from asyncdq.drivers.mysql_address import FORM, Address
from asyncdq.drivers.mysql_link import ask
from asyncdq.errors import ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import Message

on_mysql = pytest.mark.parametrize("queue_url", ["mysql"], indirect=True)


@pytest.fixture
async def admin(queue_url: str) -> AsyncIterator[aiomysql.Connection]:
    """A session of the user's own in the same database."""
    at = urlsplit(queue_url)
    connection = await aiomysql.connect(
        at.hostname or "", at.username, at.password or "", at.path[1:], at.port or 3306, autocommit=True
    )
    yield connection
    await connection.ensure_closed()


@on_mysql
async def test_ten_may_make_the_tables_at_once(queue_url: str) -> None:
    drivers = [MySQLDriver(queue_url) for _ in range(10)]
    await asyncio.gather(*(each.connect() for each in drivers))
    await asyncio.gather(*(each.setup() for each in drivers))
    assert [await each.pending() for each in drivers] == [[]] * 10
    await asyncio.gather(*(each.disconnect() for each in drivers))


@on_mysql
async def test_tables_that_are_missing_say_how_to_make_them(queue_url: str) -> None:
    async with MySQLDriver(queue_url) as driver:
        assert (await driver.pending())[0].startswith("create table")
        with pytest.raises(DriverError, match="asyncdq migrate"):
            await driver.enqueue([Message("a", "work", b"")])


@on_mysql
async def test_the_statements_that_are_shown_make_the_tables(queue_url: str, admin: aiomysql.Connection) -> None:
    async with MySQLDriver(queue_url) as driver:
        await ask(admin, " ".join(await driver.pending()).rstrip(";"))
        assert await driver.pending() == []
        assert await driver.enqueue([Message("a", "work", b"")]) == []


@on_mysql
async def test_making_the_tables_goes_on_where_it_broke_off(queue_url: str, admin: aiomysql.Connection) -> None:
    async with MySQLDriver(queue_url) as driver:
        for statement in (await driver.pending())[:2]:
            await ask(admin, statement)
        await driver.setup()
        assert await driver.pending() == []


@on_mysql
async def test_a_schema_that_is_newer_than_we_know_asks_for_an_upgrade(
    queue_url: str, admin: aiomysql.Connection
) -> None:
    async with MySQLDriver(queue_url) as driver:
        await driver.setup()
        await ask(admin, "update asyncdq_schema set version = 99")
        with pytest.raises(ConfigurationError, match=r"version 99.*upgrade asyncdq"):
            await driver.setup()


@on_mysql
async def test_two_pairs_of_tables_on_one_server_are_two_stores(queue_url: str, admin: aiomysql.Connection) -> None:
    await ask(admin, "create database shop")
    first = MySQLDriver(queue_url, queue_table="shop.jobs", dead_letter_table="shop.graves")
    second = from_url(f"{queue_url}?queue_table=jobs&dead_letter_table=graves&max_pool_size=2")
    async with first, second:
        await asyncio.gather(first.setup(), second.setup())
        await first.enqueue([Message("a", "work", b"")])
        assert await second.dequeue({"work": 9}, 9, 60) == []
        assert [each.id for each in await first.dequeue({"work": 9}, 9, 60)] == ["a"]


@on_mysql
async def test_who_connects_at_once_with_others_opens_nothing_that_stays(queue_url: str) -> None:
    driver = MySQLDriver(queue_url)
    await asyncio.gather(*(driver.connect() for _ in range(3)))
    await driver.disconnect()
    gc.collect()  # what is left open complains, and fails the test


@on_mysql
async def test_who_may_not_disconnect_a_driver_leaves_it_connected(queue_url: str) -> None:
    async with MySQLDriver(queue_url) as driver:
        with pytest.raises(DriverError, match="disconnect it there"):
            await asyncio.to_thread(asyncio.run, driver.disconnect())
        assert await driver.pending() != []


@on_mysql
async def test_a_password_may_hold_what_urls_are_made_of(queue_url: str, admin: aiomysql.Connection) -> None:
    place = urlsplit(queue_url).netloc.rpartition("@")[2]
    await ask(admin, "create user poet@'%' identified by 'p@ss:w@rd/ж'; grant all on asyncdq.* to poet@'%'")
    try:
        async with MySQLDriver(f"mysql://poet:p%40ss:w@rd/ж@{place}/asyncdq") as driver:
            await driver.setup()
            assert "ss:w" not in repr(driver)
    finally:
        await ask(admin, "drop user poet@'%'")


@on_mysql
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"path": "/nowhere"}, "Unknown database 'nowhere'; create the database"),
        ({"query": "ssl_ca=/no/such/file&ssl_mode=verify_ca"}, "cannot read ssl_ca"),
        ({"user": "root:hunter2"}, r"Access denied.*check the user and the password"),
        ({"user": "nobody:hunter2"}, "check the user and the password"),
    ],
)
async def test_what_waiting_does_not_mend_is_a_mistake_of_the_configuration(
    queue_url: str, change: dict[str, str], problem: str
) -> None:
    at = urlsplit(queue_url)
    if user := change.pop("user", None):
        change["netloc"] = f"{user}@{at.netloc.rpartition('@')[2]}"
    with pytest.raises(ConfigurationError, match=problem) as caught:
        await MySQLDriver(at._replace(**change).geturl()).connect()
    assert ":asyncdq@" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_is_not_there_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match=r"cannot connect to MySQL at 127\.0\.0\.1:1/db"):
        await MySQLDriver("mysql://me:hunter2@127.0.0.1:1/db").connect()
    with pytest.raises(ConnectionLost, match="name cannot be found"):
        await MySQLDriver("mysql://me@no-such-host.invalid/db").connect()


async def test_what_answers_and_is_no_mysql_is_a_lost_connection() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x05\0\0\0hello")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionLost, match="cannot connect to MySQL"):
            await MySQLDriver(f"mysql://me@127.0.0.1:{port}/db").connect()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://me:hunter2@h/db?queue_table=a.b.c", "is name or schema.name"),
        ("mysql://me:hunter2@h/db?queue_table=Tasks", "is name or schema.name"),
        ("mysql://me:hunter2@h/db?queue_table=same&dead_letter_table=same", "give them two names"),
        ("mysql://me:hunter2@h/db?min_pool_size=5&max_pool_size=2", "min_pool_size is at most max_pool_size"),
        ("mysql://me:hunter2@h/db?max_pool_size=many", "max_pool_size is a number from 1 to 10000"),
        ("mysql://me:hunter2@h/db?timeout=0", "timeout is a number from 0.1 to 3600"),
        ("mysql://me:hunter2@h/db?sslmode=require", "number 1 behind .*known are .*, ssl_mode"),
        ("mysql://me:hunter2@h/db?ssl_mode=perhaps", "has one of disabled, preferred"),
        ("mysql://me:hunter2@h", "names one database"),
        ("mysql://me:hunter2@h:0/db", "1 to 65535 as its port"),
        ("mysql://me:hunt?er2@h/db", r"write \? as %3F"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_is_accepted(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        from_url(url)
    assert "hunt" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "host", "port", "user", "password", "database"),
    [
        ("mysql://h/db", "h", 3306, "", "", "db"),
        ("MariaDB://me@h:3307/db", "h", 3307, "me", "", "db"),
        ("mysql://me:p%40ss:w@rd@[::1]:3307/db", "::1", 3307, "me", "p@ss:w@rd", "db"),
        ("mysql://me:a/b#c@[::1]/my%20db", "::1", 3306, "me", "a/b#c", "my db"),
        ("mysql:///db?unix_socket=/run/my.sock", "localhost", 3306, "", "", "db"),
    ],
)
def test_a_dsn_is_taken_apart(dsn: str, host: str, port: int, user: str, password: str, database: str) -> None:
    at = Address.of(FORM.read(dsn))
    assert (at.host, at.port, at.user, at.password, at.database) == (host, port, user, password, database)

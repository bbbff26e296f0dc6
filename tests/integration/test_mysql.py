"""What is special to MySQL and MariaDB: plans, locks, looks, tables and DSNs."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiomysql
import pytest

from asyncdq.drivers import mysql_settle, mysql_tasks
from asyncdq.drivers.mysql import MySQLDriver
from asyncdq.drivers.mysql_link import NOW, ask
from asyncdq.drivers.mysql_tasks import Receipt
from asyncdq.errors import Blocked, ConnectionLost, DriverError
from asyncdq.message import Again, Dead, Delivery, Done, Message, Outcome, Unstarted

pytestmark = pytest.mark.parametrize("queue_url", ["mysql"], indirect=True)


@pytest.fixture
async def driver(queue_url: str) -> AsyncIterator[MySQLDriver]:
    async with MySQLDriver(queue_url) as driver:
        await driver.setup()
        yield driver


@pytest.fixture
async def admin(queue_url: str) -> AsyncIterator[aiomysql.Connection]:
    """A session of the user's own in the same database."""
    at = urlsplit(queue_url)
    connection = await aiomysql.connect(
        at.hostname or "", at.username, at.password or "", at.path[1:], at.port or 3306, autocommit=True
    )
    yield connection
    await connection.ensure_closed()


async def rows(admin: aiomysql.Connection, statements: str) -> list[tuple[Any, ...]]:
    """What the last of these statements finds."""
    return (await ask(admin, statements))[-1].rows


def message(id: str, queue: str = "work", body: bytes = b"", delay: float = 0.0) -> Message:
    return Message(id, queue, body, delay)


async def claim(driver: MySQLDriver, queue: str = "work", lease: float = 60.0, limit: int = 1000) -> list[Delivery]:
    return await driver.dequeue({queue: limit}, limit, lease)


OTHERS = "select id from information_schema.processlist where id <> connection_id() and db = 'asyncdq'"


async def fill(driver: MySQLDriver, admin: aiomysql.Connection) -> None:
    """100,000 messages that are ready, as many that are delayed in the same queue and in another, and dead ones."""
    await rows(
        admin,
        "insert into task_queue (queue, id, visible_at, body) with recursive n (n) as"
        " (select 1 union all select n + 1 from n where n < 1000), m (m) as (select n from n where n <= 100)"
        f" select 'busy', concat('r', n, '-', m), {NOW}, '' from n, m",
    )
    insert = "insert into task_queue (queue, id, visible_at, body) select"
    ready = "from task_queue where id like 'r%'"
    await rows(admin, f"{insert} 'busy', concat('d', id), visible_at + 3600000000, '' {ready}")
    await rows(admin, f"{insert} 'later', concat('d', id), visible_at + 3600000000, '' {ready}")
    await rows(
        admin,
        "insert into dead_letter_queue (queue, id, body, reason, error, detail, attempts, died_at)"
        f" select queue, id, '', 'lost', '', '', 1, visible_at {ready}",
    )


async def plans(driver: MySQLDriver, admin: aiomysql.Connection) -> list[tuple[str, str]]:
    """The kind of access and the key of each table that a claim and a settling read, and no sorting among them."""
    await rows(admin, f"set @now = {NOW}, @until = 1, @token = 1")
    found = await rows(admin, "explain " + driver._tables.claim.format(queue="'busy'", most=100))
    fence = mysql_settle.locking(driver._tables, [Receipt(n, n) for n in range(1, 100)]).partition(";")[2]
    found += await rows(admin, f"explain {fence}")
    extension = mysql_tasks.extension(driver._tables, [Receipt(n, n) for n in range(1, 100)], 60.0).split(";")[1]
    found += await rows(admin, f"explain {extension}")
    assert not any("filesort" in str(row[-1]) or "temporary" in str(row[-1]) for row in found)
    return [row[3:6:2] if len(row) == 10 else row[4:7:2] for row in found if "derived" not in str(row[2])]


async def test_a_claim_probes_its_index_whatever_the_planner_knows(
    driver: MySQLDriver, admin: aiomysql.Connection
) -> None:
    empty = await plans(driver, admin)
    await fill(driver, admin)
    filled = await plans(driver, admin)
    await rows(admin, "analyze table task_queue")
    for found in (empty, filled, await plans(driver, admin)):
        by_key = [("eq_ref", "PRIMARY"), ("range", "PRIMARY")]
        assert found == [("eq_ref", "PRIMARY"), ("range", "ready"), ("range", "PRIMARY"), *by_key]


async def test_a_queue_that_somebody_has_dropped_is_made_again(driver: MySQLDriver, admin: aiomysql.Connection) -> None:
    await rows(admin, "drop table task_queue")
    assert await driver.pending()
    await driver.setup()
    await driver.enqueue([message("a")])
    assert not await driver.pending()


async def test_a_claim_from_a_long_backlog_takes_milliseconds(driver: MySQLDriver, admin: aiomysql.Connection) -> None:
    await fill(driver, admin)
    times: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        assert len(await driver.dequeue({"later": 9, "gone": 9, "busy": 9}, 9, 60)) == 9
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.02  # 1 ms on a quiet machine; reading all that is delayed takes 60


async def test_eight_at_a_time_share_twenty_messages(driver: MySQLDriver, queue_url: str) -> None:
    await driver.enqueue([message(f"{number}") for number in range(20)])
    drivers = [MySQLDriver(queue_url) for _ in range(8)]
    await asyncio.gather(*(each.connect() for each in drivers))
    found = await asyncio.gather(*(claim(each, limit=2) for each in drivers))
    assert all(found)
    names = [each.id for part in found for each in part]
    assert len(names) == len(set(names)) == 16
    await asyncio.gather(*(each.disconnect() for each in drivers))


async def test_later_queues_get_what_earlier_ones_have_left(driver: MySQLDriver) -> None:
    await driver.enqueue([message(f"{queue}{number}", queue) for queue in "abc" for number in range(5)])
    found = await driver.dequeue({"a": 2, "none": 9, "b": 9, "c": 9}, 9, 60)
    assert [each.id for each in found] == ["a0", "a1", *(f"b{n}" for n in range(5)), "c0", "c1"]
    assert [each.id for each in await claim(driver, "c")] == ["c2", "c3", "c4"]


async def test_a_row_that_somebody_has_locked_is_passed_by(driver: MySQLDriver, admin: aiomysql.Connection) -> None:
    await driver.enqueue([message("a"), message("b")])
    await rows(admin, "begin; select seq from task_queue where id = 'a' and queue = 'work' for update")
    assert [each.id for each in await claim(driver)] == ["b"]
    await rows(admin, "rollback")
    assert [each.id for each in await claim(driver)] == ["a"]


async def test_a_lease_whose_row_somebody_has_locked_ends_no_other(
    driver: MySQLDriver, admin: aiomysql.Connection
) -> None:
    await driver.enqueue([message("a"), message("b"), message("c")])
    a, b, c = await claim(driver, lease=1.0)
    assert await driver.settle([(c, Done())]) == []
    await rows(admin, "begin; select seq from task_queue where id = 'a' and queue = 'work' for update")
    async with asyncio.timeout(1):
        with pytest.raises(Blocked, match="keeps a row of these tasks locked") as raised:
            await driver.extend([a, b, c], 60.0)
    assert (raised.value.held, raised.value.lost) == ((a,), (c,))
    left = await rows(admin, f"rollback; select id from task_queue where visible_at > {NOW} + 10000000")
    assert left == [("b",)]
    assert await driver.extend([a, b], 60.0) == []


@pytest.mark.parametrize("outcome", [Done(), Again(0.0, counted=True), Dead("rejected", "", "")])
async def test_an_outcome_whose_row_stays_locked_is_blocked_and_costs_no_connection(
    driver: MySQLDriver, admin: aiomysql.Connection, outcome: Outcome
) -> None:
    await driver.enqueue([message("a"), message("b")])
    a, b = await claim(driver)
    await rows(admin, "begin; select seq from task_queue where id = 'a' and queue = 'work' for update")
    idle = [*driver._pool._idle]
    with pytest.raises(Blocked):
        await driver.settle([(a, outcome), (b, Done())])
    assert {*idle} <= {*driver._pool._idle}
    await rows(admin, "rollback")
    assert await driver.settle([(a, outcome), (b, Done())]) == []


@pytest.mark.parametrize("returning", [True, False])
async def test_successes_wait_for_no_row_but_their_own_though_the_table_is_small(
    driver: MySQLDriver, admin: aiomysql.Connection, returning: bool
) -> None:
    if not driver._link.returning and returning:
        pytest.skip("MySQL: a delete does not say what it has deleted")
    driver._link.returning = returning
    await driver.enqueue([message(f"{number}") for number in range(12)])
    held = await claim(driver, limit=11)
    await rows(admin, "begin; select seq from task_queue where id = '11' and queue = 'work' for update")
    assert await driver.settle([(each, Done()) for each in held[1:]]) == []  # who waits for the lock is Blocked
    await rows(admin, "rollback")
    lost = await driver.settle([(each, Done()) for each in held])
    assert lost == held[1:]
    assert await driver.settle([(held[0], Done())]) == [held[0]]


async def test_a_full_batch_of_successes_is_settled(driver: MySQLDriver) -> None:
    await driver.enqueue([message(f"{number}") for number in range(1001)])
    held = await claim(driver)
    assert len(held) == driver.limits.batch
    assert await driver.settle([(each, Done()) for each in held]) == []
    assert [each.id for each in await claim(driver)] == ["1000"]


async def test_a_deadlock_is_tried_again(driver: MySQLDriver, admin: aiomysql.Connection) -> None:
    await driver.enqueue([message("a"), message("b")])
    a, b = await claim(driver)
    await rows(admin, f"begin; select seq from task_queue where seq = {b.receipt.seq} for update")
    # Another writer, with more to lose, wants what we have locked while we wait for what it has.
    await rows(admin, "insert into task_queue (queue, id, visible_at, body) values " + heavy(200))
    settling = asyncio.create_task(driver.settle([(a, Done()), (b, Again(0, counted=True))]))
    await somebody_waits(admin)
    await rows(admin, f"select seq from task_queue where seq = {a.receipt.seq} for update; rollback")
    assert await settling == []
    (status,) = await rows(admin, "show engine innodb status")
    assert "LATEST DETECTED DEADLOCK" in status[2]
    assert [each.attempt for each in await claim(driver)] == [2]


async def somebody_waits(admin: aiomysql.Connection) -> None:
    """A transaction waits for a lock."""
    while True:
        if await rows(admin, "select 1 from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"):
            return
        await asyncio.sleep(0.15)  # between two looks: who looks more often sees what the last look found


async def nobody_writes(admin: aiomysql.Connection) -> None:
    """No transaction is open: what a closed connection had begun, the server ends when it notices."""
    while True:
        if not await rows(admin, "select trx_id from information_schema.innodb_trx"):
            return
        await asyncio.sleep(0.15)  # between two looks: who looks more often sees what the last look found


def heavy(count: int) -> str:
    return ",".join(f"('other', '{number}', 0, '')" for number in range(count))


async def test_enqueues_whose_ids_cross_do_not_fail_each_other(driver: MySQLDriver, queue_url: str) -> None:
    names = [f"{number}" for number in range(300)]
    async with MySQLDriver(queue_url) as other:
        for _ in range(5):
            forth, back = [message(id) for id in names], [message(id) for id in reversed(names)]
            known = await asyncio.gather(driver.enqueue(forth), other.enqueue(back))
            assert sum(map(len, known)) == 300
            assert await driver.settle([(each, Done()) for each in await claim(driver)]) == []


async def test_an_error_in_the_middle_leaves_no_transaction_open(
    driver: MySQLDriver, admin: aiomysql.Connection
) -> None:
    await driver.enqueue([message("a")])
    (a,) = await claim(driver)
    with pytest.raises(DriverError, match="cannot store this value"):
        await driver.settle([(a, Dead("a reason that is much longer than any of those that there are"))])
    await nobody_writes(admin)
    assert await driver.settle([(a, Done())]) == []


async def test_what_is_given_back_unstarted_has_its_old_place(driver: MySQLDriver) -> None:
    await driver.enqueue([message("a"), message("b")])
    (a,) = await claim(driver, limit=1)
    assert await driver.settle([(a, Unstarted())]) == []
    assert [each.id for each in await claim(driver)] == ["a", "b"]


async def test_bodies_too_large_for_one_statement_go_in_several(driver: MySQLDriver) -> None:
    bodies = {f"{number}": bytes([number]) * driver.limits.body for number in range(4)}
    assert await driver.enqueue([message(id, body=body) for id, body in bodies.items()]) == []
    assert {each.id: each.body for each in await claim(driver)} == bodies


async def test_a_server_that_takes_only_short_statements_says_so(queue_url: str, admin: aiomysql.Connection) -> None:
    ((before,),) = await rows(admin, "select @@global.max_allowed_packet")
    await rows(admin, "set global max_allowed_packet = 1048576")
    try:
        async with MySQLDriver(queue_url) as driver:
            await driver.setup()
            with pytest.raises(DriverError, match="needs max_allowed_packet ="):
                await driver.enqueue([message("a", body=bytes(2**20))])
            assert await driver.enqueue([message(f"{n}", body=bytes(200_000)) for n in range(20)]) == []
            assert len(await claim(driver)) == 20
    finally:
        await rows(admin, f"set global max_allowed_packet = {before}")


async def test_long_errors_of_many_outcomes_go_in_several_calls(driver: MySQLDriver) -> None:
    await driver.enqueue([message(f"{number}") for number in range(300)])
    dead = Dead("attempts", "e" * 500, "\N{SNOWMAN}'\\" * 2500)
    assert await driver.settle([(each, dead) for each in await claim(driver)]) == []
    letter = await driver.dead_letter("work", "299")
    assert letter is not None
    assert (letter.error, letter.detail) == (dead.error, dead.detail)


async def test_texts_of_one_batch_are_alike_whatever_the_collation_of_the_session(driver: MySQLDriver) -> None:
    await driver.enqueue([message("a"), message("b")])
    session = await driver._link.open()
    await rows(session, "set collation_connection = utf8mb4_unicode_ci")  # in MySQL it differs by itself
    texts = {"a": "plain", "b": "two words"}
    buried = [(each, Dead("attempts", texts[each.id])) for each in await claim(driver)]
    assert await mysql_settle.settle(session, driver._tables, buried, returning=False) == []
    assert {letter.id: letter.error for letter in await driver.dead("work", 9)} == texts
    await session.ensure_closed()


async def test_connections_that_were_killed_are_replaced(driver: MySQLDriver, admin: aiomysql.Connection) -> None:
    await driver.enqueue([message("a")])
    for (id,) in await rows(admin, OTHERS):
        await rows(admin, f"kill {id}")
    async with asyncio.timeout(5):
        while True:
            try:
                found = await claim(driver)
            except ConnectionLost:
                continue
            break
    assert [each.id for each in found] == ["a"]


async def test_a_connection_that_the_server_ended_for_being_idle_is_not_noticed(
    driver: MySQLDriver, admin: aiomysql.Connection
) -> None:
    for (id,) in await rows(admin, OTHERS):
        await rows(admin, f"kill {id}")
    await asyncio.sleep(1.1)  # for so long a connection is believed to live
    await driver.enqueue([message("a")])


async def test_every_session_is_in_utc_and_reads_what_is_committed(queue_url: str, admin: aiomysql.Connection) -> None:
    strange = "time_zone = '+11:00', global sql_mode = 'ansi_quotes,no_backslash_escapes', global autocommit = 0"
    await rows(admin, f"set global {strange}, global sql_select_limit = 1, global completion_type = 1")
    try:
        async with MySQLDriver(queue_url) as driver:
            await driver.setup()
            await driver.enqueue([message("a\\", body=b"\\'\""), message("b"), message("later", delay=60)])
            assert [(each.id, each.body) for each in await claim(driver)] == [("a\\", b"\\'\""), ("b", b"")]
            session = await driver._link.open()
            assert await rows(session, "select @@time_zone, @@autocommit, @@wait_timeout") == [("+00:00", 1, 60)]
            isolation = await rows(session, "show session variables where variable_name rlike '^t.*_isolation$'")
            assert {value for _, value in isolation} == {"READ-COMMITTED"}
            await session.ensure_closed()
    finally:
        await rows(admin, "set global time_zone = 'system', global sql_mode = default, global autocommit = 1")
        await rows(admin, "set global sql_select_limit = default, global completion_type = default")

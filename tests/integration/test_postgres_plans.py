"""What PostgreSQL reads for a statement: plans, pages, and what a claim passes by to read less."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from asyncdq.drivers.postgres import PostgresDriver
from asyncdq.drivers.postgres_floor import FULL_LOOK
from asyncdq.drivers.postgres_link import PLANNING
from asyncdq.message import Done, Message, Unstarted

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic only to type checkers


pytestmark = pytest.mark.parametrize("queue_url", ["postgres"], indirect=True)


@pytest.fixture
async def driver(queue_url: str) -> AsyncIterator[PostgresDriver]:
    async with PostgresDriver(queue_url) as driver:
        await driver.setup()
        yield driver


@pytest.fixture
async def admin(queue_url: str) -> AsyncIterator[Admin]:
    """A session of the user's own in the same database."""
    connection = await asyncpg.connect(queue_url)
    yield connection
    await connection.close()


def message(id: str, queue: str = "work") -> Message:
    return Message(id, queue, b"")


FILL = """
insert into task_queue (queue, id, visible_at, body)
    select 'busy', 'r' || n, now(), '' from generate_series(1, 100000) n;
insert into task_queue (queue, id, visible_at, body)
    select 'busy', 'd' || n, now() + interval '1 hour', '' from generate_series(1, 100000) n;
insert into task_queue (queue, id, visible_at, body)
    select 'later', 'd' || n, now() + interval '1 hour', '' from generate_series(1, 100000) n;
insert into task_queue (queue, id, visible_at, body)
    select 'gone', 'x' || n, now(), '' from generate_series(1, 100000) n;
delete from task_queue where queue = 'gone';
"""


async def explained(admin: Admin, statement: str, values: str, options: str = "") -> str:
    """What the server says of this statement, run as the driver runs it; what it does is undone."""
    await admin.execute(";".join(f"set {name} = {value}" for name, value in PLANNING.items()))
    await admin.execute(f"prepare ours as {statement}")
    undone = admin.transaction()
    await undone.start()
    rows = await admin.fetch(f"explain {options} execute ours ({values})")
    await undone.rollback()
    await admin.execute("deallocate ours")
    return "\n".join(line for (line,) in rows)


async def plan(driver: PostgresDriver, admin: Admin) -> str:
    """How the server would claim."""
    values = "'{later,gone,busy}', '{100,100,100}', 100, 60000000, 5, '{null,null,null}'"
    return await explained(admin, driver._tables.claim, values)


async def pages(admin: Admin, statement: str, values: str) -> int:
    """How many pages of tables and indexes this statement touches."""
    (found,) = json.loads(await explained(admin, statement, values, "(analyze, buffers, format json)"))
    return int(found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"])


async def test_a_claim_probes_its_index_whatever_the_planner_knows(driver: PostgresDriver, admin: Admin) -> None:
    empty = await plan(driver, admin)
    await admin.execute(FILL)
    never_analyzed = await plan(driver, admin)
    await admin.execute("analyze task_queue")
    for found in (empty, never_analyzed, await plan(driver, admin)):
        assert "Index Scan using task_queue_ready" in found
        assert "Tid Scan on task_queue" in found
        assert "Seq Scan" not in found
        assert "Sort" not in found


BY_KEY = {
    "done": "'{w}', '{a}', '{1}'",
    "extend": "'{w}', '{a}', '{1}', 1",
    "held": "'{w}', '{a}', '{1}'",
    "settle": "'{w}', '{a}', '{1}', '{back}', '{1}', '{1}', '{1}', '{x}', '{x}', '{x}', '{1}'",
    "requeue": "'{w}', '{a}'",
    "delete": "'{w}', '{a}'",
}

ONE_OF_EACH = """
insert into task_queue (queue, id, visible_at, body) values ('w', 'a', now(), '');
insert into dead_letter_queue (queue, id, body, reason, error, detail, attempts, died_at)
    values ('w', 'b', '', 'lost', '', '', 3, now());
"""


@pytest.mark.parametrize("statement", BY_KEY)
async def test_rows_are_met_by_their_keys_whatever_the_planner_knows(
    driver: PostgresDriver, admin: Admin, statement: str
) -> None:
    for change in ("select", "vacuum analyze", ONE_OF_EACH, "vacuum analyze", FILL, "vacuum analyze"):
        await admin.execute(change)
        found = await explained(admin, getattr(driver._tables, statement), BY_KEY[statement])
        assert "Seq Scan" not in found
        assert "Index Scan using task_queue_ready" not in found
        assert "Index Scan using dead_letter_queue_order" not in found
        assert found.count("_pkey on") == found.count("Index Cond: ((queue = ANY (") > 0


STORED = {"enqueue": "'{w,w}', '{a,b}', '{0,0}', '{x,x}'", "enqueue_one": "'w', 'a', 0, 'x'"}


@pytest.mark.parametrize("statement", STORED)
async def test_an_enqueue_probes_the_index_whatever_the_planner_knows(
    driver: PostgresDriver, admin: Admin, statement: str
) -> None:
    for change in ("select", "vacuum analyze", FILL, "vacuum analyze"):
        await admin.execute(change)
        found = await explained(admin, getattr(driver._tables, statement), STORED[statement])
        assert "Scan Backward using task_queue_ready" in found
        assert "Seq Scan" not in found


async def test_a_claim_from_a_long_backlog_takes_milliseconds(driver: PostgresDriver, admin: Admin) -> None:
    await admin.execute(FILL)
    times: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        assert len(await driver.dequeue({"later": 9, "gone": 9, "busy": 9}, 9, 60)) == 9
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.02  # 0.6 ms on a quiet machine; a scan of everything takes 60


async def test_a_claim_touches_as_few_pages_among_many_messages_as_among_some(
    driver: PostgresDriver, admin: Admin
) -> None:
    fill = "insert into task_queue (queue, id, visible_at, body) select 'w', '{0}' || n, now(), '' from {1} n"
    claim_ten = driver._tables.claim, "'{w}', '{10}', 10, 60000000, 5, '{null}'"
    await admin.execute(fill.format("some", "generate_series(1, 1000)"))
    some = await pages(admin, *claim_ten)
    await admin.execute(fill.format("many", "generate_series(1, 200000)"))
    assert await pages(admin, *claim_ten) <= 2 * some


async def test_a_dead_letter_is_found_among_many_without_reading_them(driver: PostgresDriver, admin: Admin) -> None:
    fill = """insert into dead_letter_queue (queue, id, body, reason, error, detail, attempts, died_at)
        select 'w', '{0}' || n, '', 'lost', '', '', 3, now() from generate_series(1, {1}) n"""
    await admin.execute(fill.format("some", 100))
    some = await pages(admin, driver._tables.requeue, "'{w}', '{some7}'")
    await admin.execute(fill.format("many", 100_000))
    assert await pages(admin, driver._tables.requeue, "'{w}', '{some7}'") <= 2 * some


LATE = "insert into task_queue (queue, id, visible_at, body) values ('work', 'late', now() - interval '1 hour', '')"
AN_HOUR_AGO = "update task_queue set visible_at = visible_at - interval '1 hour'"


async def test_claims_do_not_walk_over_what_has_gone_since_the_last_vacuum(
    driver: PostgresDriver, admin: Admin
) -> None:
    await admin.execute("alter table task_queue set (autovacuum_enabled = off)")
    await admin.execute(FILL.replace("'x' || n, now()", "'x' || n, now() - interval '1 hour'"))  # and all of it deleted
    await driver.enqueue([message("a", "gone"), message("b", "gone")])
    (a,) = await driver.dequeue({"gone": 1}, 1, 60)
    floor = driver._here().floor.at(0.0)["gone"]
    everything = await pages(admin, driver._tables.claim, "'{gone}', '{1}', 1, 60000000, 5, '{null}'")
    from_the_floor = await pages(admin, driver._tables.claim, f"'{{gone}}', '{{1}}', 1, 60000000, 5, '{{{floor}}}'")
    assert a.id == "a"
    assert from_the_floor < 30 < 300 < everything


async def test_what_is_committed_late_is_passed_by_for_half_a_second_at_most(
    driver: PostgresDriver, admin: Admin
) -> None:
    async with admin.transaction():
        await admin.execute(LATE)
        for number in range(5):
            await driver.enqueue([message(f"{number}-{n}") for n in range(1000)])
        assert (await driver.dequeue({"work": 1}, 1, 60))[0].id == "0-0"
        looked_at = time.monotonic()
    while True:
        asked_at = time.monotonic()
        (claimed,) = await driver.dequeue({"work": 1}, 1, 60)
        if claimed.id == "late":
            break
        assert asked_at < looked_at + FULL_LOOK


async def test_what_is_committed_a_little_late_keeps_its_place(driver: PostgresDriver, admin: Admin) -> None:
    async with admin.transaction():
        await admin.execute(LATE.replace("1 hour", "0.1 seconds"))
        await driver.enqueue([message(f"{n}") for n in range(9)])
        assert (await driver.dequeue({"work": 1}, 1, 60))[0].id == "0"
    assert (await driver.dequeue({"work": 1}, 1, 60))[0].id == "late"


async def test_a_queue_is_not_called_empty_before_everything_was_looked_at(
    driver: PostgresDriver, admin: Admin
) -> None:
    async with admin.transaction():
        await admin.execute(LATE)
        await driver.enqueue([message("a"), message("b")])
        assert [(await driver.dequeue({"work": 1}, 1, 60))[0].id for _ in range(2)] == ["a", "b"]
    assert [each.id for each in await driver.dequeue({"work": 1}, 1, 60)] == ["late"]


async def test_what_the_driver_gives_back_itself_is_the_next_it_claims(driver: PostgresDriver, admin: Admin) -> None:
    for id in "abcd":  # each at a time of its own
        await driver.enqueue([message(id)])
    await admin.execute(AN_HOUR_AGO)
    (a,) = await driver.dequeue({"work": 1}, 1, 60)
    (b,) = await driver.dequeue({"work": 1}, 1, 60)
    assert await driver.settle([(a, Unstarted())]) == []
    assert [(await driver.dequeue({"work": 1}, 1, 60))[0].id for _ in range(2)] == ["a", "c"]
    assert await driver.settle([(b, Done())]) == []

"""What is special to PostgreSQL: plans, locks, news, tables and DSNs."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import pytest

from asyncdq.drivers.postgres import PostgresDriver
from asyncdq.errors import Blocked, ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import Again, Dead, Delivery, Done, Message, Outcome, Unstarted

from .outage import ready_again

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


def message(id: str, queue: str = "work", body: bytes = b"", delay: float = 0.0) -> Message:
    return Message(id, queue, body, delay)


async def claim(driver: PostgresDriver, queue: str = "work", lease: float = 60.0) -> list[Delivery]:
    return await driver.dequeue({queue: 1000}, 1000, lease)


END_WATCHES = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'select wanted.queue%'"


async def test_a_transaction_that_stays_open_stops_nobody(driver: PostgresDriver, admin: Admin) -> None:
    async with admin.transaction(isolation="repeatable_read"):
        await admin.fetch("select count(*) from task_queue")
        for number in range(20):
            await driver.enqueue([message(f"{number}-{n}") for n in range(100)])
            assert await driver.settle([(each, Done()) for each in await claim(driver)]) == []
        began = time.perf_counter()
        assert await claim(driver) == []
        assert time.perf_counter() - began < 1


async def test_only_what_may_be_forgotten_is_committed_without_the_disk(driver: PostgresDriver) -> None:
    texts = vars(driver._tables)
    hasty = {name for name, text in texts.items() if "'synchronous_commit', 'off', true" in str(text)}
    assert hasty == {"claim", "done", "extend"}


@pytest.mark.parametrize(("most", "sent"), [(1, 0), (4, 1), (10, 7)])
async def test_outcomes_that_count_as_sent_leave_connections_for_the_others(
    queue_url: str, most: int, sent: int
) -> None:
    async with PostgresDriver(queue_url, max_pool_size=most) as driver:
        assert driver.limits.keeps_sent == sent


async def test_a_row_that_somebody_has_locked_is_passed_by(driver: PostgresDriver, admin: Admin) -> None:
    await driver.enqueue([message("a"), message("b")])
    async with admin.transaction():
        await admin.fetch("select from task_queue where id = 'a' for update")
        assert [each.id for each in await claim(driver)] == ["b"]
    assert [each.id for each in await claim(driver)] == ["a"]


async def test_a_lease_whose_row_somebody_has_locked_ends_no_other(driver: PostgresDriver, admin: Admin) -> None:
    await driver.enqueue([message("a"), message("b"), message("c")])
    a, b, c = await driver.dequeue({"work": 3}, 3, 1.0)
    assert await driver.settle([(c, Done())]) == []
    async with admin.transaction():
        await admin.fetch("select from task_queue where id = 'a' for update")
        async with asyncio.timeout(5):
            with pytest.raises(Blocked, match="keeps a row of these tasks locked") as raised:
                await driver.extend([a, b, c], 60.0)
        assert (raised.value.held, raised.value.lost) == ((a,), (c,))
        left = "select id from task_queue where visible_at > now() + interval '10 s'"
        assert [row["id"] for row in await admin.fetch(left)] == ["b"]
    assert await driver.extend([a, b], 60.0) == []


@pytest.mark.parametrize("outcome", [Done(), Again(0.0, counted=True), Dead("rejected", "", "")])
async def test_an_outcome_whose_row_stays_locked_is_blocked_and_costs_no_connection(
    driver: PostgresDriver, admin: Admin, outcome: Outcome
) -> None:
    await driver.enqueue([message("a"), message("b")])
    a, b = await claim(driver)
    async with admin.transaction():
        await admin.fetch("select from task_queue where id = 'a' for update")
        idle = [*driver._pool._idle]
        for _ in range(2):
            with pytest.raises(Blocked):
                await driver.settle([(a, outcome), (b, Done())])
        assert {*idle} <= {*driver._pool._idle}
    assert await driver.settle([(a, outcome), (b, Done())]) == []


async def test_what_is_given_back_unstarted_has_its_old_place(driver: PostgresDriver) -> None:
    await driver.enqueue([message("a"), message("b")])
    (a,) = await driver.dequeue({"work": 1}, 1, 60)
    assert await driver.settle([(a, Unstarted())]) == []
    assert [each.id for each in await claim(driver)] == ["a", "b"]


async def test_an_enqueue_is_announced_only_to_an_empty_queue(driver: PostgresDriver, admin: Admin) -> None:
    heard: list[object] = []
    await admin.add_listener("asyncdq:task_queue", lambda *news: heard.append(news[-1]))
    await driver.enqueue([message("a"), message("b"), message("x", "other")])
    await driver.enqueue([message("c")])
    await driver.enqueue([message("soon", "third", delay=0.5), message("late", "fourth", delay=60)])
    await admin.execute("select 1")  # brings what was announced before
    assert sorted(map(str, heard)) == ["other", "third", "work"]


async def cut_off(admin: Admin) -> None:
    """End the session that listens and looks, as soon as there is one."""
    while True:
        if await admin.fetchval(END_WATCHES):
            return
        await asyncio.sleep(0.01)  # between two tries


async def test_a_listener_that_was_cut_off_listens_again(driver: PostgresDriver, queue_url: str, admin: Admin) -> None:
    async with PostgresDriver(queue_url) as consumer:
        for number in range(3):
            waiter = asyncio.create_task(consumer.wait(["work"], 30))
            async with asyncio.timeout(5):
                await cut_off(admin)
                await waiter
            waiter = asyncio.create_task(consumer.wait(["work"], 30))
            await driver.enqueue([message(f"{number}")])
            async with asyncio.timeout(5):
                await waiter
            assert [each.id for each in await claim(consumer)] == [f"{number}"]


async def test_an_enqueue_reaches_who_waits_in_two_milliseconds(driver: PostgresDriver, queue_url: str) -> None:
    times: list[float] = []
    async with PostgresDriver(queue_url) as consumer:
        for number in range(50):
            waiter = asyncio.create_task(consumer.wait(["work"], 30))
            await asyncio.sleep(0.03)  # it has looked twice and sleeps now
            began = time.perf_counter()
            await driver.enqueue([message(f"{number}")])
            await waiter
            times.append(time.perf_counter() - began)
            await consumer.settle([(each, Done()) for each in await claim(consumer)])
    assert statistics.median(times) < 0.02  # 1 ms on a quiet machine; a poll would take 250


async def test_what_is_committed_late_and_unannounced_is_found_within_a_fraction_of_a_second(
    driver: PostgresDriver, admin: Admin
) -> None:
    async with admin.transaction():
        await admin.execute("insert into task_queue (queue, id, visible_at, body) values ('work', 'a', now(), '')")
        waiter = asyncio.create_task(driver.wait(["work"], 30))
        await asyncio.sleep(0.1)  # so long a commit may take on a slow disk
    began = time.monotonic()
    await waiter
    assert time.monotonic() - began < 0.6  # 0.11 on a quiet machine; the look of an idle waiter comes after 1


async def test_sessions_that_end_are_replaced(driver: PostgresDriver, admin: Admin) -> None:
    await driver.enqueue([message("a")])
    ended = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'asyncdq'"
    await admin.fetch(ended)
    await ready_again(driver)
    assert [each.id for each in await claim(driver)] == ["a"]


async def test_a_statement_that_takes_too_long_is_ended_by_the_server_first(queue_url: str, admin: Admin) -> None:
    async with PostgresDriver(queue_url, timeout=1.0) as driver:
        await driver.setup()
        async with admin.transaction():
            await admin.execute("lock table task_queue")
            with pytest.raises(ConnectionLost, match="statement timeout"):
                await driver.enqueue([message("a")])
        assert await claim(driver) == []


async def test_two_processes_share_a_queue_and_wake_each_other(driver: PostgresDriver, queue_url: str) -> None:
    script = """
import asyncio, sys
from asyncdq.drivers import from_url
async def main():
    async with from_url(sys.argv[1]) as driver:
        while not (got := await driver.dequeue({"work": 9}, 9, 60)):
            print("waiting", flush=True)
            await driver.wait(["work"], 30)
        print([each.id for each in got], flush=True)
asyncio.run(main())
"""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", script, queue_url, stdout=pipe)
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"waiting"
    await driver.enqueue([message("a")])
    out, _ = await process.communicate()
    assert out.decode().split()[-1] == "['a']"
    assert process.returncode == 0


async def test_bodies_too_large_for_one_statement_go_in_several(driver: PostgresDriver) -> None:
    bodies = {f"{number}": bytes([number]) * 6 * 2**20 for number in range(4)}
    assert await driver.enqueue([message(id, body=body) for id, body in bodies.items()]) == []
    assert {each.id: each.body for each in await claim(driver)} == bodies


async def test_enqueues_whose_ids_cross_do_not_fail_each_other(driver: PostgresDriver, queue_url: str) -> None:
    names = [f"{number}" for number in range(300)]
    async with PostgresDriver(queue_url) as other:
        for _ in range(5):
            forth, back = [message(id) for id in names], [message(id) for id in reversed(names)]
            known = await asyncio.gather(driver.enqueue(forth), other.enqueue(back))
            assert sum(map(len, known)) == 300
            assert await driver.settle([(each, Done()) for each in await claim(driver)]) == []


async def test_text_that_the_server_cannot_hold_fails_its_batch_alone(driver: PostgresDriver) -> None:
    await driver.enqueue([message("a")])
    (a,) = await claim(driver)
    for text in ("NUL \0", "surrogate \ud800"):
        with pytest.raises(DriverError) as caught:
            await driver.settle([(a, Dead("rejected", text))])
        assert not isinstance(caught.value, ConnectionLost)
    assert await driver.settle([(a, Done())]) == []


async def test_two_pairs_of_tables_in_one_database_are_two_stores(queue_url: str, admin: Admin) -> None:
    await admin.execute("create schema shop")
    first = PostgresDriver(queue_url, queue_table="shop.jobs", dead_letter_table="shop.graves")
    second = PostgresDriver(queue_url, queue_table="jobs", dead_letter_table="graves")
    async with first, second:
        await asyncio.gather(first.setup(), second.setup())
        await first.enqueue([message("a")])
        assert await claim(second) == []
        assert [each.id for each in await claim(first)] == ["a"]
        assert await first.pending() == await second.pending() == []


async def test_one_table_under_two_names_is_refused(queue_url: str) -> None:
    async with PostgresDriver(queue_url, queue_table="jobs", dead_letter_table="public.jobs") as driver:
        for call in (driver.pending, driver.setup):
            with pytest.raises(ConfigurationError, match=r"both public\.jobs"):
                await call()


@pytest.mark.parametrize("table", ["task_queue", "dead_letter_queue"])
async def test_a_table_that_somebody_has_dropped_is_made_again(
    driver: PostgresDriver, admin: Admin, table: str
) -> None:
    await admin.execute(f"drop table {table}")
    assert await driver.pending()
    await driver.setup()
    await driver.enqueue([message("a")])
    assert (await driver.stats("work")).dead == 0
    assert not await driver.pending()


async def test_tables_that_are_missing_say_how_to_make_them(queue_url: str) -> None:
    async with PostgresDriver(queue_url) as driver:
        assert (await driver.pending())[0].startswith("create table")
        with pytest.raises(DriverError, match="asyncdq migrate"):
            await driver.enqueue([message("a")])


async def test_a_schema_that_is_newer_than_we_know_asks_for_an_upgrade(driver: PostgresDriver, admin: Admin) -> None:
    await admin.execute("update asyncdq_schema set version = 99")
    with pytest.raises(ConfigurationError, match=r"version 99.*upgrade asyncdq"):
        await driver.setup()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"path": "/nowhere"}, 'database "nowhere" does not exist; create the database'),
        ({"query": "no_such_setting=1"}, "known are .*application_name"),
        ({"query": "options=-c%20no_such_setting%3D1"}, "unrecognized configuration parameter"),
        ({"query": "sslmode=require"}, "check sslmode"),
        ({"query": "sslmode=perhaps"}, "the DSN cannot be read"),
    ],
)
async def test_what_waiting_does_not_mend_is_a_mistake_of_the_configuration(
    queue_url: str, change: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        await PostgresDriver(urlsplit(queue_url)._replace(**change).geturl()).connect()
    assert ":asyncdq@" not in str(caught.value)


@pytest.mark.parametrize("options", ["", "pooler=true", "pooler=false"])
async def test_a_database_in_another_encoding_is_refused(options: str, queue_url: str, admin: Admin) -> None:
    await admin.execute("drop database if exists latin")
    await admin.execute("create database latin encoding 'LATIN1' locale 'C' template template0")
    with pytest.raises(ConfigurationError, match="another encoding than UTF8"):
        await PostgresDriver(urlsplit(queue_url)._replace(path="/latin", query=options).geturl()).connect()
    await admin.execute("drop database latin")


async def test_a_host_that_is_silent_does_not_hide_the_next_one(queue_url: str) -> None:
    parts = urlsplit(queue_url)
    secret, _, place = parts.netloc.rpartition("@")

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        both = parts._replace(netloc=f"{secret}@127.0.0.1:{port},{place}").geturl()
        async with PostgresDriver(both) as driver:
            await driver.setup()
            assert await driver.enqueue([message("a")]) == []


async def test_renewals_and_outcomes_side_by_side_do_not_lock_each_other_out(
    driver: PostgresDriver, admin: Admin
) -> None:
    counting = "select deadlocks from pg_stat_database where datname = current_database()"
    before = await admin.fetchval(counting)
    for number in range(10):
        await driver.enqueue([message(f"{number:03}-{n:03}") for n in range(300)])
        held = await claim(driver)
        shuffled = random.Random(number).sample(held, len(held))
        parts = [shuffled[start : start + 60] for start in range(0, 300, 60)]
        outcomes = [driver.settle([(each, Done()) for each in part]) for part in parts]
        await asyncio.gather(driver.extend(held, 60), *outcomes)
    await driver.disconnect()  # what its sessions have counted is known when they end
    assert await admin.fetchval(counting) == before


async def test_a_lock_timeout_of_the_role_is_worth_another_try(
    driver: PostgresDriver, queue_url: str, admin: Admin
) -> None:
    await admin.execute("drop role if exists hasty; create role hasty superuser login password 'hasty'")
    await admin.execute("alter role hasty set lock_timeout = '200ms'")
    place = urlsplit(queue_url).netloc.rpartition("@")[2]
    async with PostgresDriver(f"postgresql://hasty:hasty@{place}/asyncdq", timeout=5) as hasty:
        async with admin.transaction():
            await admin.execute("lock table task_queue in access exclusive mode")
            with pytest.raises(ConnectionLost):
                await hasty.enqueue([message("a")])
        assert await hasty.enqueue([message("b")]) == []
    await admin.execute("drop role hasty")


async def test_who_may_not_connect_to_the_database_is_told_so(queue_url: str, admin: Admin) -> None:
    await admin.execute("drop database if exists closed")
    await admin.execute("drop role if exists guest; create role guest login password 'guest'")
    await admin.execute("create database closed")
    await admin.execute("revoke connect on database closed from public")
    place = urlsplit(queue_url).netloc.rpartition("@")[2]
    with pytest.raises(ConfigurationError, match=r"User does not have CONNECT privilege.*grant CONNECT"):
        await PostgresDriver(f"postgresql://guest:guest@{place}/closed").connect()
    await admin.execute("drop database closed")
    await admin.execute("drop role guest")


@pytest.mark.parametrize("parameter", ["role=boss", "options=-c%20log_statement%3Dall"])
async def test_who_may_not_set_a_parameter_is_not_told_to_ask_for_the_database(
    queue_url: str, admin: Admin, parameter: str
) -> None:
    await admin.execute("drop role if exists guest; create role guest login password 'guest'")
    await admin.execute("drop role if exists boss; create role boss")
    place = urlsplit(queue_url).netloc.rpartition("@")[2]
    with pytest.raises(ConfigurationError, match=r"permission denied to set.*grant what is named here.*parameters"):
        await PostgresDriver(f"postgresql://guest:guest@{place}/asyncdq?{parameter}").connect()
    await admin.execute("drop role guest; drop role boss")


async def test_a_password_may_hold_what_urls_are_made_of(queue_url: str, admin: Admin) -> None:
    place = urlsplit(queue_url).netloc.rpartition("@")[2]
    await admin.execute("drop role if exists poet; create role poet login password 'p@ss:w@rd/x'")
    async with PostgresDriver(f"postgresql://poet:p%40ss:w@rd/x@{place}/asyncdq") as driver:
        assert driver._link.address.password == "p@ss:w@rd/x"
        assert "ss:w" not in repr(driver)
    await admin.execute("drop role poet")

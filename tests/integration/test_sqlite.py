"""What is special to SQLite: the file, its locks, and the processes that share it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.drivers.sqlite_file import DatabaseFile
from asyncdq.errors import ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import Delivery, Done, Message

from .workers import until

PRELUDE = """
import asyncio, os, sys, time
from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.message import Done, Message
path = sys.argv[1]
def say(word): print(word, flush=True)
"""


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[SQLiteDriver]:
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        await driver.setup()
        yield driver


async def start(path: Path | None, script: str) -> asyncio.subprocess.Process:
    """Another process that runs `script`, with the database's path in its arguments."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-W", "error", "-c", PRELUDE + script, str(path))
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, stdin=pipe)


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def run(path: Path | None, script: str) -> str:
    """Run `script` to its end; it must succeed and complain about nothing."""
    process = await start(path, script)
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return out.decode().strip()


def message(id: str, body: bytes = b"") -> Message:
    return Message(id, "work", body)


LONG = [message(f"long {number}") for number in range(500)]
"""A call that the event loop leaves to the thread."""


async def claim(driver: SQLiteDriver, lease: float = 60.0) -> list[Delivery]:
    return await driver.dequeue({"work": 1000}, 1000, lease)


async def test_a_late_outcome_does_not_touch_the_message_that_has_its_place_now(driver: SQLiteDriver) -> None:
    await driver.enqueue([message("old")])
    (late,) = await claim(driver, lease=0.0)
    (second,) = await claim(driver)
    await driver.settle([(second, Done())])
    await driver.enqueue([message("new")])
    assert await driver.settle([(late, Done())]) == [late]
    assert await driver.extend([second], 60) == [second]
    (new,) = await claim(driver)
    assert (new.id, new.receipt.seq) == ("new", late.receipt.seq)
    assert await driver.settle([(late, Done()), (second, Done()), (new, Done())]) == [late, second]


WAITER = """
async def main():
    async with SQLiteDriver(path) as driver:
        waiting = asyncio.create_task(driver.wait(["work"], 30))
        await asyncio.sleep(0.1)
        say("waiting")
        await waiting
        say([each.id for each in await driver.dequeue({"work": 9}, 9, 60)])
asyncio.run(main())
"""


async def test_an_enqueue_wakes_another_process(driver: SQLiteDriver) -> None:
    process = await start(driver.path, WAITER)
    assert await line(process) == "waiting"
    began = time.monotonic()
    await driver.enqueue([message("a")])
    assert await line(process) == "['a']"
    assert time.monotonic() - began < 0.9  # sooner than the waiter's own next look
    await process.communicate()


async def test_a_path_too_long_for_a_socket_still_wakes(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    async with SQLiteDriver(folder / "queue.db") as driver:
        await driver.setup()
        process = await start(driver.path, WAITER)
        assert await line(process) == "waiting"
        began = time.monotonic()
        await driver.enqueue([message("a")])
        assert await line(process) == "['a']"
        assert time.monotonic() - began < 0.9
        await process.communicate()


async def test_sockets_of_killed_processes_are_cleared_away(driver: SQLiteDriver) -> None:
    process = await start(driver.path, WAITER)
    assert await line(process) == "waiting"
    assert len(os.listdir(f"{driver.path}-wake")) == 1
    process.kill()
    await process.communicate()
    await driver.enqueue([message("a")])
    assert os.listdir(f"{driver.path}-wake") == []


async def test_the_folder_of_sockets_goes_with_the_last_one(tmp_path: Path) -> None:
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        await driver.setup()
        await driver.wait(["work"], 0.01)
        assert "queue.db-wake" in os.listdir(tmp_path)
    assert os.listdir(tmp_path) == ["queue.db"]


async def test_a_disconnect_ends_a_wait_that_would_bind_its_socket_again(tmp_path: Path) -> None:
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        await driver.setup()
        waiting = asyncio.create_task(driver.wait(["work"], 60))
        await until(lambda: (tmp_path / "queue.db-wake").exists())
    async with asyncio.timeout(1):
        await waiting
    assert os.listdir(tmp_path) == ["queue.db"]


async def test_what_a_killed_claimer_held_goes_to_another_after_its_lease(driver: SQLiteDriver) -> None:
    await driver.enqueue([message(str(number)) for number in range(10)])
    script = """
async def main():
    async with SQLiteDriver(path) as driver:
        say(len(await driver.dequeue({"work": 10}, 10, 1.0)))
        await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await start(driver.path, script)
    assert await line(process) == "10"
    process.kill()
    await process.communicate()
    taken: list[Delivery] = []
    while len(taken) < 10:
        await driver.wait(["work"], 10)
        taken += await claim(driver)
    assert [each.lost for each in taken] == [1] * 10


async def test_a_process_that_forgets_to_disconnect_exits_silently(tmp_path: Path) -> None:
    script = """
async def main():
    driver = SQLiteDriver(path)
    await driver.connect()
    await driver.setup()
    await driver.enqueue([Message("a", "work", b"")])
    return driver
kept = asyncio.run(main())
"""
    await run(tmp_path / "queue.db", script)
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        assert [each.id for each in await claim(driver)] == ["a"]


async def test_ten_processes_set_up_one_new_file_at_once(tmp_path: Path) -> None:
    script = """
async def main():
    async with SQLiteDriver(path) as driver:
        await driver.setup()
        await driver.enqueue([Message(str(os.getpid()), "work", b"")])
asyncio.run(main())
"""
    await asyncio.gather(*(run(tmp_path / "queue.db", script) for _ in range(10)))
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        assert await driver.pending() == []
        assert len(await claim(driver)) == 10


def limit_pages(driver: SQLiteDriver, spare: int) -> asyncio.Future[None]:
    """Let the database grow by no more than `spare` pages: what a full disk looks like to SQLite."""

    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count = {pages + spare}")

    assert driver._session is not None
    return driver._session.writer.submit(limit)


async def test_a_full_disk_is_a_lost_connection_that_says_so(driver: SQLiteDriver) -> None:
    await driver.enqueue([message("before")])
    await limit_pages(driver, 8)
    with pytest.raises(ConnectionLost, match="the disk is full: free some space"):
        await driver.enqueue([message("big", bytes(10**6))])
    await driver.enqueue([message("after")])  # on a connection of its own, without the limit
    assert [each.id for each in await claim(driver)] == ["before", "after"]


async def test_a_lock_that_stays_is_a_lost_connection_that_names_the_process(driver: SQLiteDriver) -> None:
    script = """
import sqlite3
holder = sqlite3.connect(path, isolation_level=None)
holder.execute("begin immediate")
say("locked")
sys.stdin.readline()
"""
    process = await start(driver.path, script)
    assert await line(process) == "locked"
    with pytest.raises(ConnectionLost, match=f"write lock for 10 s.*process {process.pid}.*: end that transaction"):
        await driver.enqueue([message("a")])
    await process.communicate(b"\n")
    assert await driver.enqueue([message("a")]) == []


async def test_a_failing_job_does_not_fail_those_committed_with_it(driver: SQLiteDriver) -> None:
    bad = Message("bad\udcff", "work", b"")  # a lone surrogate is not text
    calls = [driver.enqueue([message(str(number)) if number != 7 else bad]) for number in range(20)]
    results = await asyncio.gather(driver.enqueue(LONG), *calls, return_exceptions=True)
    assert [number for number, result in enumerate(results) if result != []] == [8]
    assert isinstance(results[8], DriverError)
    assert len(await claim(driver)) == len(LONG) + 19


async def test_a_cancelled_caller_does_not_undo_its_call(driver: SQLiteDriver) -> None:
    call = asyncio.create_task(driver.enqueue(LONG))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await claim(driver)) == len(LONG)


async def test_a_schema_that_is_newer_than_we_know_asks_for_an_upgrade(driver: SQLiteDriver) -> None:
    assert driver.path is not None
    with sqlite3.connect(driver.path) as connection:
        connection.execute("update asyncdq_schema set version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"version 99.*upgrade asyncdq"):
        await driver.setup()
    with pytest.raises(ConfigurationError, match="upgrade asyncdq"):
        await SQLiteDriver(driver.path).connect()


async def test_a_database_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        assert (await driver.pending())[0].startswith("create table if not exists asyncdq_schema")
        with pytest.raises(DriverError, match="asyncdq migrate"):
            await driver.enqueue([message("a")])


@pytest.mark.parametrize("table", ["task_queue", "dead_letter_queue"])
async def test_a_table_that_somebody_has_dropped_is_made_again(tmp_path: Path, table: str) -> None:
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        await driver.setup()
    with sqlite3.connect(tmp_path / "queue.db") as connection:
        connection.execute(f"drop table {table}")
    connection.close()
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        await driver.setup()
        await driver.enqueue([message("a")])
        assert (await driver.stats("work")).dead == 0


async def test_a_users_own_tables_stay_as_they_are(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.executescript("create table orders (id); insert into orders values (7); pragma user_version = 5;")
    connection.close()
    async with SQLiteDriver(tmp_path / "shop.db") as driver:
        await driver.setup()
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        assert connection.execute("select id from orders").fetchall() == [(7,)]
        assert connection.execute("pragma user_version").fetchall() == [(5,)]
    connection.close()


@pytest.mark.parametrize("path", ["missing/queue.db", "file/queue.db", ".", "/proc/queue.db"])
async def test_a_path_that_cannot_work_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        await SQLiteDriver(tmp_path / path).connect()
    assert f"cannot use {(tmp_path / path).resolve()} as the database: " in str(caught.value)


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but notes\n" * 100)
    with pytest.raises(ConfigurationError, match="not an SQLite database: choose another path"):
        await SQLiteDriver(path).connect()
    assert path.read_text().startswith("not a database")


async def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "a b%20c?d#e'ü.db"
    async with SQLiteDriver(path) as driver:
        await driver.setup()
        await driver.wait(["work"], 0.01)
    assert os.listdir(tmp_path) == [path.name]


async def test_a_path_that_is_too_long_for_a_socket_leaves_nothing_behind_and_waits_all_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / ("long" * 25) / "queue.db"
    path.parent.mkdir()
    async with SQLiteDriver(path) as driver, SQLiteDriver(path) as other:
        await driver.setup()
        waiting = asyncio.create_task(driver.wait(["work"], 20))
        await asyncio.sleep(0)  # it has begun
        await other.enqueue([message("a")])
        await waiting
        assert len(await driver.dequeue({"work": 1}, 1, 10)) == 1
    assert os.listdir(path.parent) == [path.name]


async def test_a_file_that_vanished_is_a_lost_connection(driver: SQLiteDriver) -> None:
    assert driver.path is not None
    driver.path.rename(driver.path.with_suffix(".moved"))
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="is gone: put it back"):
            await driver.enqueue([message("a")])
    assert not driver.path.exists()
    driver.path.with_suffix(".moved").rename(driver.path)
    assert await driver.enqueue([message("a")]) == []


async def test_a_forked_child_is_refused_and_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    script = """
async def main():
    driver = SQLiteDriver(path)
    await driver.connect()
    await driver.setup()
    await driver.wait(["work"], 0.01)
    if (child := os.fork()) == 0:
        try:
            await driver.enqueue([Message("child", "work", b"")])
        except Exception as error:
            say(error)
        await driver.disconnect()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(os.listdir(path + "-wake")) == 1
    await driver.enqueue([Message("parent", "work", b"")])
    say([each.id for each in await driver.dequeue({"work": 9}, 9, 60)])
    await driver.disconnect()
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
asyncio.run(main())
"""
    refusal, ids = (await run(tmp_path / "queue.db", script)).splitlines()
    assert "before this process was forked: make a driver of its own here" in refusal
    assert ids == "['parent']"


def test_another_event_loop_is_refused(tmp_path: Path) -> None:
    driver = SQLiteDriver(tmp_path / "queue.db")
    asyncio.run(driver.connect())
    with pytest.raises(DriverError, match="connected in another event loop"):
        asyncio.run(driver.dequeue({"work": 1}, 1, 60))
    asyncio.run(driver.disconnect())


async def test_calls_under_way_are_finished_before_the_file_is_closed(tmp_path: Path) -> None:
    driver = SQLiteDriver(tmp_path / "queue.db")
    await driver.connect()
    await driver.setup()
    calls = [asyncio.create_task(driver.enqueue([message(str(number))])) for number in range(50)]
    await asyncio.sleep(0)
    await driver.disconnect()
    assert await asyncio.gather(*calls) == [[]] * 50
    assert os.listdir(tmp_path) == ["queue.db"]


async def test_a_reused_place_is_not_touched_by_a_stale_receipt(driver: SQLiteDriver) -> None:
    await driver.enqueue([message("a")])
    (first,) = await claim(driver)
    await driver.settle([(first, Done())])
    await driver.enqueue([message("a")])
    assert await driver.settle([(first, Done())]) == [first]
    assert [each.id for each in await claim(driver)] == ["a"]


@pytest.mark.parametrize(("synchronous", "level"), [("off", 0), ("normal", 1), ("full", 2), ("extra", 3)])
async def test_synchronous_reaches_the_database(tmp_path: Path, synchronous: str, level: int) -> None:
    async with SQLiteDriver(tmp_path / "queue.db", synchronous=synchronous) as driver:
        assert driver._session is not None

        def read(connection: sqlite3.Connection) -> int:
            found: int = connection.execute("pragma synchronous").fetchone()[0]
            return found

        assert await driver._session.writer.submit(read) == level


async def test_a_wait_whose_time_is_over_in_the_moment_of_a_disconnect_leaves_no_socket(tmp_path: Path) -> None:
    driver = SQLiteDriver(tmp_path / "queue.db")
    await driver.connect()
    await driver.setup()
    await driver.enqueue([Message("a", "work", b"", delay=0.1)])
    waiting = asyncio.create_task(driver.wait(["work"], 0.5))
    await until(lambda: (tmp_path / "queue.db-wake").exists())
    ending = asyncio.create_task(driver.disconnect())
    asyncio.get_running_loop().call_soon(time.sleep, 0.15)  # the event loop is busy, and then finds both in one turn
    await ending
    await waiting
    assert os.listdir(tmp_path) == ["queue.db"]


async def test_an_enqueue_to_many_queues_wakes_those_who_wait_for_any(driver: SQLiteDriver) -> None:
    names = [f"{number:064}" for number in range(150)]
    async with SQLiteDriver(driver.path or "") as producer:
        waiting = asyncio.create_task(driver.wait([names[-1]], 30))
        await until(lambda: os.path.exists(f"{driver.path}-wake"))
        began = time.monotonic()
        await producer.enqueue([Message(f"{number}", name, b"") for number, name in enumerate(names)])
        await waiting
        assert time.monotonic() - began < 0.9  # sooner than the waiter's own next look


async def test_a_long_queue_is_purged_whole_and_others_get_their_turns_meanwhile(driver: SQLiteDriver) -> None:
    for start in range(0, 25_000, 1_000):
        await driver.enqueue([Message(f"{number}", "long", b"") for number in range(start, start + 1_000)])
    purging = asyncio.create_task(driver.purge("long"))
    await until(lambda: purging.done() or driver.path is None or count(driver, "long") < 25_000)
    assert not purging.done()
    async with SQLiteDriver(driver.path or "") as other:
        await other.enqueue([message("a")])
    assert await purging == 25_000
    assert (count(driver, "long"), count(driver, "work")) == (0, 1)


def count(driver: SQLiteDriver, queue: str) -> int:
    """As another process sees it."""
    with closing(sqlite3.connect(driver.path or "")) as connection:
        (found,) = connection.execute("select count(*) from task_queue where queue = ?", (queue,)).fetchone()
        return int(found)


async def test_a_file_that_cannot_be_seen_for_a_while_is_a_lost_connection(
    driver: SQLiteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def unseen(path: str | Path, **options: bool) -> os.stat_result:
        if str(path).startswith(str(driver.path)):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    file = DatabaseFile(Path(driver.path or ""), "normal")
    monkeypatch.setattr(os, "stat", unseen)
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    assert isinstance(file.explain(error), ConnectionLost)

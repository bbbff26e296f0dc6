"""Who runs a transaction on SQLite: the event loop, if it is brief and needs no waiting, else the thread."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.message import Delivery, Message


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[SQLiteDriver]:
    async with SQLiteDriver(tmp_path / "queue.db") as driver:
        await driver.setup()
        yield driver


def message(id: str, body: bytes = b"") -> Message:
    return Message(id, "work", body)


async def claim(driver: SQLiteDriver, most: int = 1000) -> list[Delivery]:
    return await driver.dequeue({"work": most}, most, 60.0)


async def one_turn_is_enough(driver: SQLiteDriver, *messages: Message) -> bool:
    """Whether an enqueue is done in the turn of the event loop in which it begins."""
    call = asyncio.create_task(driver.enqueue(messages))
    await asyncio.sleep(0)
    done = call.done()
    await call
    return done


def salt(driver: SQLiteDriver) -> bytes:
    """What the write-ahead log's header has new each time that the log is begun anew; see SQLite's file format."""
    return Path(f"{driver.path}-wal").read_bytes()[16:24]


@contextmanager
def lock(driver: SQLiteDriver) -> Iterator[None]:
    """Hold the write lock, as another process would."""
    assert driver.path is not None
    with closing(sqlite3.connect(driver.path, isolation_level=None)) as holder:
        holder.execute("begin immediate")
        yield
        holder.execute("rollback")


async def test_a_brief_call_is_done_at_once_and_a_long_one_is_not(driver: SQLiteDriver) -> None:
    assert await one_turn_is_enough(driver, message("a"))
    assert not await one_turn_is_enough(driver, *(message(f"long {number}") for number in range(500)))
    assert not await one_turn_is_enough(driver, message("large", bytes(2**20)))
    while not await one_turn_is_enough(driver, message("b")):  # after a slow one it is left to the thread for a while
        pass


@pytest.mark.parametrize("synchronous", ["full", "extra"])
async def test_who_asks_for_the_disk_is_not_served_in_the_loop(tmp_path: Path, synchronous: str) -> None:
    async with SQLiteDriver(tmp_path / "queue.db", synchronous=synchronous) as driver:
        await driver.setup()
        assert not await one_turn_is_enough(driver, message("a"))


async def test_a_lock_of_another_process_holds_up_the_call_and_not_the_loop(driver: SQLiteDriver) -> None:
    with lock(driver):
        call = asyncio.create_task(driver.enqueue([message("a")]))
        async with asyncio.timeout(5):  # less than SQLite waits for a lock
            await asyncio.sleep(0.3)  # what is asked is whether the loop goes on meanwhile
        assert not call.done()
    assert await call == []
    assert [each.id for each in await claim(driver)] == ["a"]


async def test_what_comes_after_a_long_call_is_behind_it_in_the_queue(driver: SQLiteDriver) -> None:
    long = [message(f"long {number}") for number in range(500)]
    await asyncio.gather(driver.enqueue(long), driver.enqueue([message("last")]))
    assert [each.id for each in await claim(driver)] == [*(each.id for each in long), "last"]


async def test_who_calls_on_and_on_lets_others_run(driver: SQLiteDriver) -> None:
    others = asyncio.create_task(asyncio.sleep(0))
    for number in range(20):
        await driver.enqueue([message(str(number))])
    assert others.done()


async def test_the_log_is_looked_after_though_the_thread_has_nothing_to_do(driver: SQLiteDriver) -> None:
    for number in range(3000):
        await driver.enqueue([message(str(number), bytes(1000))])
    # Some four pages each: 3,000 of them would be 50 MB.
    assert os.stat(f"{driver.path}-wal").st_size < 20 * 2**20


async def test_an_idle_driver_copies_the_log_into_the_database_and_begins_it_anew(driver: SQLiteDriver) -> None:
    """Who writes next would have to wait for the disk if the log were not begun already: its salt says that it is."""
    begun = before = b""
    while begun == before:  # some calls may be slow, and after those others are left to the thread
        for _ in range(50):
            await driver.enqueue([message(os.urandom(8).hex(), bytes(1000))])
        before = salt(driver)
        await driver.wait(["other"], 0.01)
        await driver.purge("other")  # behind it, and nothing
        begun = salt(driver)
    assert driver.path is not None
    assert os.stat(driver.path).st_size > 300_000


async def test_a_slow_one_is_followed_by_some_in_the_thread(driver: SQLiteDriver) -> None:
    slow = [message(str(number), bytes(2**20)) for number in range(100)]
    await driver.enqueue(slow)
    assert len(await driver.dequeue({"work": 100}, 100, 60.0)) == 100  # at once, and 100 MB
    assert not await one_turn_is_enough(driver, message("next"))


async def test_each_connection_knows_its_own_file(driver: SQLiteDriver, tmp_path: Path) -> None:
    """Who looks and who writes have one each, and notice at different times that the file is another one."""
    async with SQLiteDriver(tmp_path / "other.db") as other:
        await other.setup()
        await other.enqueue([message("of the other file")])
    assert driver.path is not None
    (tmp_path / "other.db").replace(driver.path)
    for left in (Path(f"{driver.path}-wal"), Path(f"{driver.path}-shm")):
        left.unlink(missing_ok=True)
    await driver.stats("work")
    assert [each.id for each in await claim(driver)] == ["of the other file"]


async def test_what_fails_at_once_fails_as_it_does_in_the_thread(driver: SQLiteDriver) -> None:
    assert driver.path is not None
    with closing(sqlite3.connect(driver.path)) as other:
        other.execute("drop table task_queue")
    with pytest.raises(Exception, match="has no tables of asyncdq: run `asyncdq migrate`"):
        await driver.enqueue([message("a")])

"""How soon those who wait on MySQL learn of a message."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator

import pytest

from asyncdq.drivers.mysql import MySQLDriver
from asyncdq.drivers.mysql_link import ask
from asyncdq.message import Done, Message

pytestmark = pytest.mark.parametrize("queue_url", ["mysql"], indirect=True)


@pytest.fixture
async def driver(queue_url: str) -> AsyncIterator[MySQLDriver]:
    async with MySQLDriver(queue_url) as driver:
        await driver.setup()
        yield driver


def make_quiet(driver: MySQLDriver) -> None:
    """As if nothing had come for a minute."""
    assert driver._session is not None
    driver._session.watch._quiet_since -= 60.0


async def selects(driver: MySQLDriver) -> int:
    """How many the server has seen."""
    session = await driver._link.open()
    (((_, count),), _), *_ = await ask(session, "show global status like 'Com_select'")
    await session.ensure_closed()
    return int(count)


async def test_an_enqueue_wakes_another_driver_of_this_process_at_once(driver: MySQLDriver, queue_url: str) -> None:
    times: list[float] = []
    async with MySQLDriver(queue_url) as consumer:
        for number in range(20):
            make_quiet(consumer)
            waiter = asyncio.create_task(consumer.wait(["work"], 30))
            await asyncio.sleep(0.1)  # it has looked, and will not again for as long
            began = time.perf_counter()
            await driver.enqueue([Message(f"{number}", "work", b"")])
            await waiter
            times.append(time.perf_counter() - began)
            await consumer.settle([(each, Done()) for each in await consumer.dequeue({"work": 9}, 9, 60)])
    assert statistics.median(times) < 0.02  # 1 ms on a quiet machine; a look would take 125


async def test_two_processes_share_a_queue_and_find_each_other_within_the_poll(
    driver: MySQLDriver, queue_url: str
) -> None:
    script = """
import asyncio, sys, time
from asyncdq.drivers import from_url
async def main():
    async with from_url(sys.argv[1]) as driver:
        while not (got := await driver.dequeue({"work": 9}, 9, 60)):
            print("waiting", flush=True)
            await driver.wait(["work"], 30)
        print(time.time() - float(got[0].body), flush=True)
asyncio.run(main())
"""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", script, queue_url, stdout=pipe)
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"waiting"
    await driver.enqueue([Message("a", "work", f"{time.time()}".encode())])
    out, _ = await process.communicate()
    assert float(out.split()[-1]) < driver.limits.poll + 0.25  # and what a busy machine needs
    assert process.returncode == 0


async def test_who_has_not_waited_for_long_looks_often(driver: MySQLDriver, queue_url: str) -> None:
    times: list[float] = []

    async def enqueue_elsewhere() -> None:
        async with MySQLDriver(queue_url) as producer:
            times.append(-time.perf_counter())
            await producer.enqueue([Message("a", "work", b"")])

    for number in range(6):
        waiter = asyncio.create_task(driver.wait(["work"], 30))
        await asyncio.sleep(0.4 + number / 100)  # a second's quiet makes it look every 50 ms, and this is less
        await asyncio.to_thread(asyncio.run, enqueue_elsewhere())  # another loop tells this one nothing
        await waiter
        times[-1] += time.perf_counter()
        await driver.settle([(each, Done()) for each in await driver.dequeue({"work": 9}, 9, 60)])
    assert statistics.median(times) < 0.08  # 15 ms on a quiet machine; every 250 ms would take 125


async def test_who_waits_for_long_looks_four_times_a_second(driver: MySQLDriver) -> None:
    make_quiet(driver)
    before = await selects(driver)
    for _ in range(3):
        await driver.wait(["work"], 0.4)
    assert await selects(driver) - before <= 10  # six looks, two by those who ask

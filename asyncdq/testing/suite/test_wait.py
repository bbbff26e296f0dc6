"""Rule 4: a wait ends when there may be something to claim, holds nothing, and sleeps otherwise."""

from __future__ import annotations

import asyncio
import threading
import time

import psutil
import pytest

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Done, Unstarted
from asyncdq.testing.claims import LONG, SOON, asleep, bury, claim, claim_one, letters, put, settle, take_now
from asyncdq.testing.marks import needs

LATE = 0.6
"""Seconds that a busy machine may add to `limits.poll`; less than the second after which a driver may look itself."""


async def woken(driver: BaseDriver, waiter: asyncio.Task[None], within: float = 0.0) -> None:
    """The waiter ends within `within` seconds, plus what the driver says that a wake may be late."""
    async with asyncio.timeout(within + driver.limits.poll + LATE):
        await waiter


async def test_a_wait_ends_when_something_is_enqueued(driver: BaseDriver) -> None:
    waiter = await asleep(driver)
    await put(driver, "a")
    await woken(driver, waiter)
    assert await take_now(driver) == ["a"]


async def test_a_wait_ends_when_another_process_enqueues(driver: BaseDriver, second: BaseDriver) -> None:
    waiter = await asleep(second)
    await put(driver, "a")
    await woken(second, waiter)
    assert await take_now(second) == ["a"]


async def test_a_wait_ends_for_each_of_its_queues(driver: BaseDriver) -> None:
    for name in ("high", "middle", "low"):
        waiter = await asleep(driver, "high", "middle", "low")
        await put(driver, "a", queue=name)
        await woken(driver, waiter)
        assert await take_now(driver, name) == ["a"]


async def test_what_was_enqueued_between_claim_and_wait_is_not_missed(driver: BaseDriver) -> None:
    for number in range(10):
        assert await take_now(driver) == []
        await put(driver, f"{number}")
        await woken(driver, asyncio.create_task(driver.wait(["work"], LONG)))
        assert await take_now(driver) == [f"{number}"]


async def test_what_another_process_enqueued_between_claim_and_wait_is_not_missed(
    driver: BaseDriver, second: BaseDriver
) -> None:
    for number in range(10):
        assert await take_now(second) == []
        await put(driver, f"{number}")
        await woken(second, asyncio.create_task(second.wait(["work"], LONG)))
        assert await take_now(second) == [f"{number}"]


async def test_a_wait_ends_when_a_delayed_message_is_due(driver: BaseDriver) -> None:
    await put(driver, "a", delay=0.2)
    assert await take_now(driver) == []
    waiter = await asleep(driver)
    await woken(driver, waiter, 0.2)
    await claim_one(driver)


async def test_a_delay_shorter_than_the_sleep_wakes_who_sleeps_already(driver: BaseDriver, second: BaseDriver) -> None:
    waiters = [await asleep(driver), await asleep(second)]
    await put(driver, "a", delay=0.2)
    for owner, waiter in zip((driver, second), waiters, strict=True):
        await woken(owner, waiter, 0.2)
    await claim_one(second)


@needs("ends_leases")
async def test_a_wait_ends_when_a_lease_ends(driver: BaseDriver) -> None:
    await put(driver, "a")
    await claim_one(driver, lease=0.2)
    await woken(driver, await asleep(driver), 0.2)
    await claim_one(driver)


@needs("ends_leases")
async def test_a_wait_ends_when_a_lease_of_another_process_ends(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a")
    waiter = await asleep(second)
    await claim_one(driver, lease=0.2)
    await woken(second, waiter, 0.2)
    assert (await claim_one(second)).lost == 1


async def test_a_wait_ends_when_a_message_is_given_back(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    waiters = [await asleep(driver), await asleep(second)]
    await settle(driver, delivery, Unstarted())
    for owner, waiter in zip((driver, second), waiters, strict=True):
        await woken(owner, waiter)
    assert (await claim_one(second)).id == "a"


async def test_a_wait_ends_when_a_message_is_retried(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a", "b")
    now, later = await claim(driver, 2)
    for delivery, delay in ((now, 0.0), (later, 0.2)):
        waiters = [await asleep(driver), await asleep(second)]
        await settle(driver, delivery, Again(delay, counted=True))
        for owner, waiter in zip((driver, second), waiters, strict=True):
            await woken(owner, waiter, delay)
        assert (await claim_one(second)).id == delivery.id


@pytest.mark.parametrize("outcome", [Unstarted(), Again(0, counted=True), Again(0.2, counted=False)])
async def test_a_waiter_of_the_same_driver_is_woken_by_an_outcome(
    driver: BaseDriver, outcome: Again | Unstarted
) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    waiter = await asleep(driver)
    await settle(driver, delivery, outcome)
    await woken(driver, waiter, outcome.delay)
    await claim_one(driver)


@needs("dead_letters")
async def test_a_wait_ends_when_a_dead_letter_is_requeued(driver: BaseDriver) -> None:
    await bury(driver, "a")
    waiter = await asleep(driver)
    assert await letters(driver).requeue("work", ["a"]) == ["a"]
    await woken(driver, waiter)
    assert await take_now(driver) == ["a"]


async def test_a_wait_returns_at_once_when_something_is_ready(driver: BaseDriver) -> None:
    await put(driver, "a")
    await woken(driver, asyncio.create_task(driver.wait(["work"], LONG)))


async def test_a_wait_for_nothing_lasts_its_timeout(driver: BaseDriver) -> None:
    await put(driver, "delayed", delay=60)
    await put(driver, "leased")
    await claim_one(driver)
    await driver.wait(["work"], 0.1)  # what was enqueued before it may end the first one early
    began = time.monotonic()
    await driver.wait(["work"], 0.2)
    assert 0.19 < time.monotonic() - began < 0.2 + LATE


async def test_a_wait_of_no_time_returns(driver: BaseDriver) -> None:
    async with asyncio.timeout(LATE):
        await driver.wait(["work"], 0)


async def test_a_wait_holds_nothing(driver: BaseDriver) -> None:
    await put(driver, "a", "b")
    await driver.wait(["work"], 1)
    assert await take_now(driver) == ["a", "b"]


async def test_every_waiter_of_a_driver_is_woken(driver: BaseDriver) -> None:
    waiters = [await asleep(driver) for _ in range(5)]
    await put(driver, *"abcde")
    for waiter in waiters:
        await woken(driver, waiter)


async def test_many_claimers_that_wait_get_one_message_each(driver: BaseDriver) -> None:
    async with asyncio.timeout(2 * SOON), asyncio.TaskGroup() as group:
        claimers = [group.create_task(claim_one(driver)) for _ in range(10)]
        await asleep(driver, timeout=0)
        for number in range(10):
            await put(driver, f"{number}")
    assert sorted(claimer.result().id for claimer in claimers) == [f"{number}" for number in range(10)]


async def test_a_wait_on_one_queue_does_not_end_that_on_another(driver: BaseDriver) -> None:
    left, right = await asleep(driver, "left"), await asleep(driver, "right")
    await put(driver, "a", queue="left")
    await woken(driver, left)
    assert await take_now(driver, "left") == ["a"]
    await put(driver, "b", queue="right")
    await woken(driver, right)


async def test_a_hundred_cancelled_waits_leave_nothing_behind(driver: BaseDriver) -> None:
    process = psutil.Process()

    def held() -> tuple[int, int, int]:
        return len(asyncio.all_tasks()), process.num_fds(), threading.active_count()

    await driver.wait(["work"], 0.05)  # what the driver opens once for all waits
    before = held()
    for number in range(100):
        waiter = asyncio.create_task(driver.wait(["work"], LONG))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter], timeout=SOON)
        assert waiter.cancelled()
    assert held() <= before
    waiter = await asleep(driver)
    await put(driver, "a")
    await woken(driver, waiter)


async def test_a_cancelled_wait_takes_no_message_with_it(driver: BaseDriver) -> None:
    for number in range(20):
        waiter = asyncio.create_task(driver.wait(["work"], LONG))
        await asyncio.sleep(0)
        await put(driver, f"{number}")
        waiter.cancel()
        await asyncio.wait([waiter], timeout=SOON)
        delivery = await claim_one(driver)
        assert await settle(driver, delivery, Done())

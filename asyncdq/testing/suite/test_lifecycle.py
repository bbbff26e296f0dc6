"""Rules 10 and 11: opening and closing, setup, and who may not call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from asyncdq.drivers.base import BaseDriver
from asyncdq.errors import DriverError
from asyncdq.message import Done
from asyncdq.testing.backend import Store
from asyncdq.testing.claims import SOON, claim, claim_one, ids, message, put, settle, take_now
from asyncdq.testing.marks import needs

Call = Callable[[BaseDriver], Awaitable[object]]

CALLS: dict[str, Call] = {
    "enqueue": lambda driver: driver.enqueue([message("a")]),
    "dequeue": lambda driver: driver.dequeue({"work": 1}, 1, 60),
    "wait": lambda driver: driver.wait(["work"], 0.5),
    "stats": lambda driver: driver.stats("work"),
    "purge": lambda driver: driver.purge("work"),
}

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


async def test_a_driver_declares_what_it_can_take(driver: BaseDriver) -> None:
    limits = driver.limits
    assert limits.batch >= 1
    assert limits.body >= 2**17  # SQS: 256 KiB of base64
    assert 0 <= limits.poll <= 5


async def test_disconnecting_is_harmless_before_connecting(store: Store) -> None:
    await store().disconnect()


async def test_disconnecting_twice_is_harmless(store: Store) -> None:
    driver = store()
    await driver.connect()
    await driver.disconnect()
    await driver.disconnect()


async def test_a_driver_knows_whether_it_is_connected(store: Store) -> None:
    driver = store()
    seen = [driver.connected]
    await driver.connect()
    seen.append(driver.connected)
    await driver.disconnect()
    assert [*seen, driver.connected] == [False, True, False]


async def test_connecting_several_times_at_once_opens_one_session(store: Store) -> None:
    driver, before = await used_once(store)
    await asyncio.gather(*(driver.connect() for _ in range(5)))
    await driver.setup()
    await put(driver, "a")
    await driver.disconnect()
    await nothing_more_is_open_than(before)


async def test_connecting_while_disconnecting_ends_connected(driver: BaseDriver) -> None:
    await put(driver, "a")
    closing = asyncio.ensure_future(driver.disconnect())
    await asyncio.sleep(0)
    await driver.connect()
    await closing
    assert driver.connected
    await driver.setup()
    await put(driver, "b", queue="other")


async def test_disconnecting_while_connecting_ends_disconnected(store: Store) -> None:
    driver, before = await used_once(store)
    opening = asyncio.ensure_future(driver.connect())
    await asyncio.sleep(0)
    await driver.disconnect()
    await opening
    assert not driver.connected
    await nothing_more_is_open_than(before)


@pytest.mark.parametrize("steps", [1, 3, 10])
async def test_connecting_that_is_cancelled_leaves_nothing_open(store: Store, steps: int) -> None:
    driver, before = await used_once(store)
    opening = asyncio.ensure_future(driver.connect())
    for _ in range(steps):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    await driver.disconnect()  # it may have been faster
    await nothing_more_is_open_than(before)


async def used_once(store: Store) -> tuple[BaseDriver, int]:
    """A driver that has been connected before, so that what a first time leaves is there; and how much is open."""
    driver = store()
    await driver.connect()
    await driver.disconnect()
    return driver, open_files()


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))


async def nothing_more_is_open_than(before: int) -> None:
    """Return when no more is open than then: some sockets are closed a moment after it is said."""
    async with asyncio.timeout(SOON):
        while open_files() > before:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)  # between two looks


async def test_a_block_connects_and_disconnects(store: Store) -> None:
    async with store() as driver:
        await driver.setup()
        await put(driver, "a")
    with pytest.raises(DriverError):
        await driver.stats("work")


@every_call
async def test_a_call_before_connecting_is_a_clear_error(store: Store, call: Call) -> None:
    with pytest.raises(DriverError, match="connect"):
        await call(store())


@every_call
async def test_a_call_after_disconnecting_is_a_clear_error(driver: BaseDriver, call: Call) -> None:
    await driver.disconnect()
    with pytest.raises(DriverError, match="connect"):
        await call(driver)


async def test_settling_after_disconnecting_is_a_clear_error(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    await driver.disconnect()
    for call in (driver.settle([(delivery, Done())]), driver.extend([delivery], 60)):
        with pytest.raises(DriverError, match="connect"):
            await call


async def test_a_driver_works_again_after_connecting_again(driver: BaseDriver) -> None:
    await driver.disconnect()
    await driver.connect()
    await driver.setup()
    await put(driver, "a")
    assert ids(await claim(driver, 1)) == ["a"]


@needs("durable")
async def test_what_was_stored_is_there_after_connecting_again(driver: BaseDriver) -> None:
    await put(driver, "a")
    await driver.disconnect()
    await driver.connect()
    assert await take_now(driver) == ["a"]


async def test_calls_under_way_at_a_disconnect_end(driver: BaseDriver) -> None:
    calls = [asyncio.ensure_future(driver.enqueue([message(f"{number}")])) for number in range(50)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await driver.disconnect()
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(answer == [] or isinstance(answer, DriverError) for answer in answers)


async def test_setup_again_changes_nothing(driver: BaseDriver) -> None:
    await put(driver, "a")
    await driver.setup()
    assert await take_now(driver) == ["a"]


async def test_setup_by_several_callers_at_once(store: Store) -> None:
    async with store() as driver:
        await asyncio.gather(*(driver.setup() for _ in range(10)))
        await put(driver, "a")


@needs("shared")
async def test_setup_by_several_processes_at_once(store: Store) -> None:
    drivers = [store() for _ in range(10)]
    await asyncio.gather(*(driver.connect() for driver in drivers))
    await asyncio.gather(*(driver.setup() for driver in drivers))
    await put(drivers[0], "a")
    assert ids(await claim(drivers[9], 1)) == ["a"]
    await asyncio.gather(*(driver.disconnect() for driver in drivers))


@every_call
async def test_another_event_loop_is_refused(driver: BaseDriver, call: Call) -> None:
    async def elsewhere() -> None:
        await call(driver)

    with pytest.raises(DriverError, match="loop"):
        await asyncio.to_thread(asyncio.run, elsewhere())
    await put(driver, "b")
    assert await take_now(driver) == ["b"]


@every_call
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_process_is_refused(driver: BaseDriver, call: Call) -> None:
    async def answer() -> str:
        async with asyncio.timeout(5):
            try:
                await call(driver)
            except DriverError as error:
                return f"refused: {error}"
        return "accepted"

    said = await asyncio.to_thread(_in_a_fork, answer)
    assert said.startswith("refused")
    assert "fork" in said or "process" in said
    await put(driver, "b")
    assert await take_now(driver) == ["b"]


def _in_a_fork(answer: Callable[[], Coroutine[None, None, str]]) -> str:
    """What `answer` returns, or raises, in a fork of this process."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            said = asyncio.run(answer())
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode()[:4096])
        os._exit(0)  # whatever this process would clean up belongs to its parent
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


async def test_giving_back_what_is_buffered_is_harmless(driver: BaseDriver) -> None:
    await put(driver, "a")
    await driver.give_back()
    await driver.give_back()


async def test_what_was_claimed_stays_claimed_when_the_buffers_are_given_back(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    await driver.give_back()
    assert await settle(driver, delivery, Done())

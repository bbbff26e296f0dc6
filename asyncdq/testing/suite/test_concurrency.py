"""Rules 3 and 11: many callers on one loop, many processes on one store, and callers that give up."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Delivery, Done
from asyncdq.testing.backend import Backend, Store
from asyncdq.testing.claims import SOON, claim, claim_one, ids, lose, message, passing, put, settle, take_now
from asyncdq.testing.marks import needs


async def give_up(call: asyncio.Task[object], ticks: int) -> None:
    """Cancel a call that has begun, after some turns of the loop."""
    for _ in range(ticks):
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call


async def test_concurrent_dequeuers_share_without_overlap(driver: BaseDriver) -> None:
    await put(driver, *(f"{number}" for number in range(20)))
    shares = await asyncio.gather(*(claim(driver, 2) for _ in range(8)))
    rest = await take_now(driver)
    came = [id for share in shares for id in ids(share)] + rest
    assert sorted(came, key=int) == [f"{number}" for number in range(20)]


@needs("shared", "unbuffered")  # else a process that has its share may hold more for about a second
async def test_eight_processes_on_twenty_messages_get_each_once(driver: BaseDriver, store: Store) -> None:
    await put(driver, *(f"{number}" for number in range(20)))
    drivers = [store() for _ in range(8)]
    await asyncio.gather(*(each.connect() for each in drivers))
    shares = await asyncio.gather(*(claim(each, 2) for each in drivers))
    assert all(len(share) == 2 for share in shares)
    came = [id for share in shares for id in ids(share)] + await take_now(driver)
    assert sorted(came, key=int) == [f"{number}" for number in range(20)]
    await asyncio.gather(*(each.disconnect() for each in drivers))


async def test_concurrent_enqueues_are_all_stored(driver: BaseDriver) -> None:
    answers = await asyncio.gather(*(driver.enqueue([message(f"{number}")]) for number in range(200)))
    assert answers == [[]] * 200
    assert len(await claim(driver, 200)) == 200


@needs("ordered")
async def test_enqueues_of_one_caller_after_the_other_keep_their_order_among_many(driver: BaseDriver) -> None:
    async def produce(name: str) -> None:
        for number in range(20):
            await put(driver, f"{name}{number:02}")

    await asyncio.gather(*(produce(name) for name in "abcde"))
    came = ids(await claim(driver, 100))
    for name in "abcde":
        assert [id for id in came if id[0] == name] == [f"{name}{number:02}" for number in range(20)]


async def test_concurrent_settles_of_one_delivery_are_accepted_once(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    accepted = await asyncio.gather(*(settle(driver, delivery, Again(0, counted=True)) for _ in range(10)))
    assert accepted.count(True) == 1
    assert (await claim_one(driver)).attempt == 2


@needs("ends_leases", "fractions")
async def test_two_processes_never_own_one_message(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    found = await asyncio.gather(*(each.dequeue({"work": 1}, 1, 60) for each in (driver, second) * 5))
    assert sum(map(len, found)) == 1


async def test_producers_and_consumers_of_two_processes_finish_everything(
    driver: BaseDriver, second: BaseDriver
) -> None:
    finished: list[str] = []

    async def consume(owner: BaseDriver) -> None:
        while len(finished) < 200:
            found: list[Delivery] = await owner.dequeue({"work": 7}, 7, 60)
            assert await owner.settle([(delivery, Done()) for delivery in found]) == []
            finished.extend(ids(found))
            if not found:
                await owner.wait(["work"], 0.1)

    async def produce(owner: BaseDriver, name: str) -> None:
        for number in range(100):
            await put(owner, f"{name}{number}")

    async with asyncio.timeout(4 * SOON), asyncio.TaskGroup() as group:
        for owner, name in ((driver, "a"), (second, "b")):
            group.create_task(consume(owner))
            group.create_task(consume(owner))
            group.create_task(produce(owner, name))
    assert len(finished) == len(set(finished)) == 200


async def test_an_enqueue_whose_caller_gave_up_is_stored(driver: BaseDriver, backend: Backend) -> None:
    for number in range(40):
        await give_up(asyncio.create_task(driver.enqueue([message(f"{number:02}")])), 1 + number % 4)
    came = ids(await claim(driver, 40))
    assert (came if backend.ordered else sorted(came)) == [f"{number:02}" for number in range(40)]


async def test_a_settle_whose_caller_gave_up_is_written(driver: BaseDriver) -> None:
    await put(driver, *(f"{number}" for number in range(40)))
    for number, delivery in enumerate(await claim(driver, 40)):
        await give_up(asyncio.create_task(driver.settle([(delivery, Again(0, counted=True))])), 1 + number % 4)
    assert [delivery.attempt for delivery in await claim(driver, 40)] == [2] * 40


@needs("ends_leases")
async def test_a_dequeue_whose_caller_gave_up_loses_nothing(driver: BaseDriver) -> None:
    await put(driver, *(f"{number}" for number in range(20)))
    for number in range(20):
        await give_up(asyncio.create_task(driver.dequeue({"work": 1}, 1, 0.2)), 1 + number % 4)
    assert {delivery.id for delivery in await claim(driver, 20)} == {f"{number}" for number in range(20)}


@needs("ends_leases")
async def test_an_extension_whose_caller_gave_up_is_written(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver, lease=0.2)
    await give_up(asyncio.create_task(driver.extend([delivery], 60)), 1)
    await passing(0.2)
    assert await take_now(driver) == []
    assert await settle(driver, delivery, Done())

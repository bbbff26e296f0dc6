"""Rules 1, 2 and 12: what is stored, what is already there, and which bodies and ids go through."""

from __future__ import annotations

import asyncio
import string

import pytest

from asyncdq.drivers.base import BaseDriver
from asyncdq.errors import DriverError
from asyncdq.message import Again, Dead, Done
from asyncdq.testing.backend import Store
from asyncdq.testing.claims import claim, claim_one, ids, lose, message, put, settle, take_now
from asyncdq.testing.marks import needs


async def test_an_enqueued_message_is_delivered_as_it_was_given(driver: BaseDriver) -> None:
    assert await driver.enqueue([message("a", "work", b"hello")]) == []
    delivery = await claim_one(driver)
    assert (delivery.id, delivery.queue, delivery.body) == ("a", "work", b"hello")
    assert (delivery.attempt, delivery.lost) == (1, 0)


async def test_a_batch_may_go_to_several_queues(driver: BaseDriver) -> None:
    await driver.enqueue([message("a", "high"), message("b", "low"), message("c", "high")])
    assert ids(await claim(driver, 2, "high")) == ["a", "c"]
    assert ids(await claim(driver, 1, "low")) == ["b"]


async def test_an_empty_batch_stores_nothing(driver: BaseDriver) -> None:
    assert await driver.enqueue([]) == []
    assert await take_now(driver) == []


async def test_a_batch_of_the_declared_size_goes_through_every_verb(driver: BaseDriver) -> None:
    count = driver.limits.batch
    await driver.enqueue([message(f"{number}") for number in range(count)])
    deliveries = await claim(driver, count)
    assert len({delivery.id for delivery in deliveries}) == count
    assert await driver.extend(deliveries, 60) == []
    assert await driver.settle([(delivery, Done()) for delivery in deliveries]) == []


async def test_a_body_may_hold_every_byte_or_none(driver: BaseDriver) -> None:
    every = bytes(range(256))
    await driver.enqueue([message("every", body=every), message("empty", body=b"")])
    bodies = {delivery.id: delivery.body for delivery in await claim(driver, 2)}
    assert bodies == {"every": every, "empty": b""}


async def test_a_body_of_a_megabyte_comes_back_whole(driver: BaseDriver) -> None:
    body = bytes(range(256)) * (min(2**20, driver.limits.body) // 256)
    await driver.enqueue([message("a", body=body)])
    assert (await claim_one(driver)).body == body


async def test_an_id_may_be_128_printable_characters(driver: BaseDriver) -> None:
    printable = string.printable.strip() + " "
    long = [(printable + printable)[:128], (printable + printable)[-128:]]
    await put(driver, *long)
    deliveries = await claim(driver, 2)
    assert sorted(ids(deliveries)) == sorted(long)
    assert await driver.settle([(delivery, Done()) for delivery in deliveries]) == []


async def test_ids_and_queues_that_differ_only_in_case_or_a_space_are_different(driver: BaseDriver) -> None:
    await put(driver, "a", "A", "a ", "%", "_")
    await put(driver, "a", queue="Work")
    assert sorted(ids(await claim(driver, 5))) == sorted(["a", "A", "a ", "%", "_"])


async def test_the_longest_queue_name_works(driver: BaseDriver) -> None:
    name = ("Queue_name-0123456789" * 4)[:64]
    await put(driver, "a", queue=name)
    assert ids(await claim(driver, 1, name)) == ["a"]


@needs("unique_ids")
async def test_an_id_that_is_ready_is_returned_and_stores_nothing(driver: BaseDriver) -> None:
    await driver.enqueue([message("a", body=b"first")])
    again = message("a", body=b"second")
    assert await driver.enqueue([again, message("b")]) == [again]
    assert [delivery.body for delivery in await claim(driver, 2)] == [b"first", b"body"]
    assert await take_now(driver) == []


@needs("unique_ids")
async def test_an_id_that_is_delayed_is_returned_and_its_delay_stays(driver: BaseDriver) -> None:
    await put(driver, "a", delay=60)
    assert ids(await driver.enqueue([message("a")])) == ["a"]
    assert await take_now(driver) == []


@needs("unique_ids")
async def test_an_id_that_is_leased_is_returned_and_its_lease_stays(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    assert ids(await driver.enqueue([message("a")])) == ["a"]
    assert await take_now(driver) == []
    assert await settle(driver, delivery, Done())
    assert await take_now(driver) == []


@needs("unique_ids", "ends_leases")
async def test_an_id_whose_lease_has_ended_is_still_known(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    assert ids(await driver.enqueue([message("a")])) == ["a"]
    assert (await claim_one(driver)).lost == 1


@needs("unique_ids")
async def test_an_id_that_waits_for_its_retry_is_still_known(driver: BaseDriver) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), Again(60, counted=True))
    assert ids(await driver.enqueue([message("a")])) == ["a"]


@needs("unique_ids")
async def test_an_id_twice_in_one_batch_is_stored_once(driver: BaseDriver) -> None:
    batch = [message("a", body=b"first"), message("b"), message("a", body=b"second"), message("a", body=b"third")]
    assert await driver.enqueue(batch) == [batch[2], batch[3]]
    assert [delivery.body for delivery in await claim(driver, 2)] == [b"first", b"body"]
    assert await take_now(driver) == []


@needs("unique_ids")
async def test_an_id_enqueued_by_ten_callers_at_once_is_stored_once(driver: BaseDriver) -> None:
    answers = await asyncio.gather(*(driver.enqueue([message("a")]) for _ in range(10)))
    assert sorted(map(len, answers)) == [0] + [1] * 9
    assert len(await claim(driver, 1)) == 1
    assert await take_now(driver) == []


@pytest.mark.parametrize("outcome", [Done(), Dead("rejected")], ids=["done", "buried"])
async def test_an_id_that_is_finished_may_run_again(driver: BaseDriver, outcome: Done | Dead) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), outcome)
    await put(driver, "a")
    delivery = await claim_one(driver)
    assert (delivery.attempt, delivery.lost) == (1, 0)


async def test_an_id_in_two_queues_is_two_messages(driver: BaseDriver) -> None:
    await driver.enqueue([message("a", "left", b"left"), message("a", "right", b"right")])
    left, right = await claim_one(driver, "left"), await claim_one(driver, "right")
    assert (left.body, right.body) == (b"left", b"right")
    assert await settle(driver, left, Done())
    assert await settle(driver, right, Again(0, counted=True))
    assert (await claim_one(driver, "right")).attempt == 2
    assert await take_now(driver, "left") == []


@needs("durable")
async def test_what_is_stored_survives_its_producer(driver: BaseDriver, store: Store) -> None:
    async with store() as producer:
        await put(producer, "now", "then")
    assert ids(await claim(driver, 2)) == ["now", "then"]


async def test_an_enqueue_that_was_refused_names_nothing_as_stored(store: Store) -> None:
    with pytest.raises(DriverError) as caught:
        await store().enqueue([message("a")])
    assert caught.value.stored == ()

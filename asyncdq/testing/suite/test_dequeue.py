"""Rule 3: how many, from which queues, and in which order."""

from __future__ import annotations

import asyncio

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Delivery
from asyncdq.testing.claims import claim, claim_one, ids, put, settle, take_now
from asyncdq.testing.marks import needs


def places(deliveries: list[Delivery]) -> list[tuple[str, str]]:
    return [(delivery.queue, delivery.id) for delivery in deliveries]


async def test_an_empty_queue_gives_nothing_at_once(driver: BaseDriver) -> None:
    async with asyncio.timeout(1):
        assert await driver.dequeue({"work": 10}, 10, 60) == []


async def test_a_queue_is_first_in_first_out(driver: BaseDriver) -> None:
    await put(driver, "z", "y", "x")
    await put(driver, "b")
    await put(driver, "a")
    assert ids(await claim(driver, 5)) == ["z", "y", "x", "b", "a"]


@needs("ordered")
async def test_the_order_also_holds_from_claim_to_claim(driver: BaseDriver) -> None:
    await put(driver, *(f"{number:02}" for number in range(20)))
    came = [id for _ in range(4) for id in ids(await claim(driver, 5))]
    assert came == [f"{number:02}" for number in range(20)]


async def test_a_claim_hands_out_no_more_than_its_limit(driver: BaseDriver) -> None:
    await put(driver, *"abcde")
    assert ids(await driver.dequeue({"work": 100}, 2, 60)) == ["a", "b"]
    assert ids(await driver.dequeue({"work": 2}, 100, 60)) == ["c", "d"]


async def test_an_earlier_queue_is_emptied_before_a_later_one(driver: BaseDriver) -> None:
    await put(driver, "z1", "z2", queue="low")
    await put(driver, "a1", "a2", queue="high")
    came = await driver.dequeue({"high": 3, "low": 3}, 3, 60)
    assert places(came) == [("high", "a1"), ("high", "a2"), ("low", "z1")]


async def test_priority_is_the_order_of_the_mapping_and_not_of_the_names(driver: BaseDriver) -> None:
    await put(driver, "1", queue="a")
    await put(driver, "2", queue="c")
    await put(driver, "3", queue="b")
    came = await driver.dequeue({"c": 5, "a": 5, "b": 5}, 5, 60)
    assert places(came) == [("c", "2"), ("a", "1"), ("b", "3")]


async def test_a_late_message_of_an_earlier_queue_overtakes(driver: BaseDriver) -> None:
    await put(driver, "1", "2", queue="low")
    assert places(await driver.dequeue({"high": 1, "low": 1}, 1, 60)) == [("low", "1")]
    await put(driver, "3", queue="high")
    assert places(await driver.dequeue({"high": 1, "low": 1}, 1, 60)) == [("high", "3")]


async def test_each_queue_gives_no_more_than_its_own_share(driver: BaseDriver) -> None:
    await put(driver, "a1", "a2", "a3", queue="a")
    await put(driver, "b1", "b2", "b3", queue="b")
    came = await driver.dequeue({"a": 1, "b": 2}, 10, 60)
    assert places(came) == [("a", "a1"), ("b", "b1"), ("b", "b2")]


async def test_a_queue_whose_share_is_nothing_gives_nothing(driver: BaseDriver) -> None:
    await put(driver, "a", queue="a")
    await put(driver, "b", queue="b")
    assert places(await driver.dequeue({"a": 0, "b": 1}, 5, 60)) == [("b", "b")]


async def test_only_the_named_queues_are_asked(driver: BaseDriver) -> None:
    await put(driver, "a", queue="other")
    assert await driver.dequeue({"work": 5}, 5, 60) == []
    assert await take_now(driver, "other") == ["a"]


async def test_a_claim_for_nothing_takes_nothing(driver: BaseDriver) -> None:
    await put(driver, "a")
    assert await driver.dequeue({"work": 5}, 0, 60) == []
    assert await driver.dequeue({}, 5, 60) == []
    assert await take_now(driver) == ["a"]


async def test_what_is_claimed_is_hidden_from_the_next_claim(driver: BaseDriver) -> None:
    await put(driver, "a", "b")
    assert ids(await claim(driver, 1)) == ["a"]
    assert await take_now(driver) == ["b"]


@needs("unbuffered")
async def test_what_is_claimed_is_hidden_from_another_process(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a", "b")
    assert ids(await claim(driver, 1)) == ["a"]
    assert await take_now(second) == ["b"]


async def test_another_process_may_consume_what_this_one_stored(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a", "b", "c")
    assert ids(await claim(second, 3)) == ["a", "b", "c"]


async def test_a_retry_does_not_hold_up_the_others(driver: BaseDriver) -> None:
    await put(driver, "a", "b")
    await settle(driver, await claim_one(driver), Again(60, counted=True))
    assert ids(await claim(driver, 1)) == ["b"]

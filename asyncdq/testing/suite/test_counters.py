"""Rule 7: `attempt` and `lost`, which tell a task that fails from a worker that dies."""

from __future__ import annotations

import pytest

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Delivery, Unstarted
from asyncdq.testing.claims import claim_one, lose, put, settle
from asyncdq.testing.marks import needs


def counters(delivery: Delivery) -> tuple[int, int]:
    return delivery.attempt, delivery.lost


async def test_a_first_delivery_is_attempt_one_with_nothing_lost(driver: BaseDriver) -> None:
    await put(driver, "a")
    assert counters(await claim_one(driver)) == (1, 0)


async def test_a_counted_retry_raises_the_attempt(driver: BaseDriver) -> None:
    await put(driver, "a")
    for attempt in range(1, 5):
        delivery = await claim_one(driver)
        assert counters(delivery) == (attempt, 0)
        assert await settle(driver, delivery, Again(0, counted=True))


async def test_an_uncounted_retry_leaves_the_attempt(driver: BaseDriver) -> None:
    await put(driver, "a")
    for _ in range(4):
        delivery = await claim_one(driver)
        assert counters(delivery) == (1, 0)
        assert await settle(driver, delivery, Again(0, counted=False))


async def test_giving_back_counts_for_nothing(driver: BaseDriver) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), Again(0, counted=True))
    for _ in range(4):
        delivery = await claim_one(driver)
        assert counters(delivery) == (2, 0)
        assert await settle(driver, delivery, Unstarted())


async def test_a_retry_keeps_id_queue_and_body(driver: BaseDriver) -> None:
    await put(driver, "a")
    first = await claim_one(driver)
    await settle(driver, first, Again(0, counted=True))
    second = await claim_one(driver)
    assert (second.id, second.queue, second.body) == (first.id, first.queue, first.body)


@needs("ends_leases")
async def test_each_lost_lease_is_counted_and_the_attempt_stays(driver: BaseDriver) -> None:
    await put(driver, "a")
    assert counters(await lose(driver)) == (1, 0)
    assert counters(await lose(driver)) == (1, 1)
    assert counters(await claim_one(driver)) == (1, 2)


@needs("ends_leases")
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "uncounted"])
async def test_an_outcome_clears_what_was_lost_before_it(driver: BaseDriver, counted: bool) -> None:
    await put(driver, "a")
    await lose(driver)
    delivery = await claim_one(driver)
    assert counters(delivery) == (1, 1)
    assert await settle(driver, delivery, Again(0, counted=counted))
    assert counters(await claim_one(driver)) == (2 if counted else 1, 0)


@needs("ends_leases")
async def test_giving_back_restores_the_counter_that_this_claim_had_raised(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    for _ in range(3):
        delivery = await claim_one(driver)
        assert counters(delivery) == (1, 1)
        assert await settle(driver, delivery, Unstarted())
    assert counters(await claim_one(driver)) == (1, 1)


@needs("ends_leases")
async def test_a_loss_after_a_giving_back_counts_once(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    await settle(driver, await claim_one(driver), Unstarted())
    assert counters(await lose(driver)) == (1, 1)
    assert counters(await claim_one(driver)) == (1, 2)


@needs("ends_leases")
async def test_a_loss_is_counted_also_after_a_retry_and_an_extension(driver: BaseDriver) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), Again(0, counted=True))
    delivery = await claim_one(driver)
    assert await driver.extend([delivery], 0.05) == []
    assert counters(await claim_one(driver)) == (2, 1)

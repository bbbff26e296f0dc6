"""Rules 5 and 6: a lease hides, ends by itself, and who has lost it can change nothing any more."""

from __future__ import annotations

import pytest

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Dead, Done, Outcome, Unstarted
from asyncdq.testing.backend import Store
from asyncdq.testing.claims import (
    bury,
    claim,
    claim_one,
    every_outcome,
    ids,
    letters,
    lose,
    passing,
    put,
    settle,
    take_now,
)
from asyncdq.testing.marks import needs


@needs("ends_leases")
async def test_a_lease_that_ends_gives_the_message_to_someone_else(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a")
    await claim_one(driver, lease=0.1)
    delivery = await claim_one(second)
    assert (delivery.id, delivery.body, delivery.attempt, delivery.lost) == ("a", b"body", 1, 1)


@needs("ends_leases", "durable")
async def test_what_a_vanished_consumer_held_comes_back(driver: BaseDriver, store: Store) -> None:
    await put(driver, "a")
    async with store() as consumer:
        await claim_one(consumer, lease=0.2)
    assert (await claim_one(driver)).lost == 1


@needs("ends_leases", "fractions")
async def test_an_ended_lease_is_claimed_together_with_what_is_ready(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    await put(driver, "b")
    assert sorted(ids(await driver.dequeue({"work": 5}, 5, 60))) == ["a", "b"]


@needs("ends_leases")
@pytest.mark.parametrize("turned", [False, True], ids=["old-first", "new-first"])
async def test_of_two_leases_of_one_message_in_a_batch_the_old_one_counts_for_nothing(
    driver: BaseDriver, turned: bool
) -> None:
    await put(driver, "a")
    old = await claim_one(driver, lease=0.1)
    new = await claim_one(driver)
    both = [new, old] if turned else [old, new]
    assert await driver.extend(both, 60) == [old]
    outcomes: list[Outcome] = [Done() if delivery is new else Dead("rejected") for delivery in both]
    assert await driver.settle(list(zip(both, outcomes, strict=True))) == [old]
    assert await letters(driver).dead("work", 9) == []
    assert await take_now(driver) == []


@needs("ends_leases")
async def test_an_extended_lease_outlives_its_first_end(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver, lease=0.1)
    assert await driver.extend([delivery], 60) == []
    await passing(0.15)
    assert await take_now(driver) == []
    assert await settle(driver, delivery, Done())


@needs("ends_leases")
async def test_extending_counts_from_now_and_may_shorten(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    assert await driver.extend([delivery], 0.05) == []
    assert (await claim_one(driver)).lost == 1


@needs("ends_leases")
async def test_a_lease_renewed_again_and_again_never_ends(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver, lease=0.3)
    for _ in range(8):
        await passing(0.1)
        assert await driver.extend([delivery], 0.3) == []
        assert await take_now(driver) == []
    assert await settle(driver, delivery, Done())


@needs("ends_leases")
async def test_extending_returns_exactly_what_was_lost(driver: BaseDriver) -> None:
    await put(driver, "a")
    lost = await lose(driver)
    now_theirs = await claim_one(driver)
    await put(driver, "b")
    held = await claim_one(driver)
    assert await driver.extend([held, lost], 60) == [lost]
    assert await driver.extend([now_theirs], 60) == []


@needs("ends_leases")
@every_outcome
async def test_a_frozen_owner_is_refused_once_another_has_claimed(driver: BaseDriver, outcome: Outcome) -> None:
    await put(driver, "a")
    frozen = await lose(driver)
    owner = await claim_one(driver)
    assert not await settle(driver, frozen, outcome)
    assert await driver.extend([frozen], 0.01) == [frozen]
    await passing(0.02)
    assert await take_now(driver) == []
    assert await settle(driver, owner, Done())
    assert await take_now(driver) == []


@needs("ends_leases")
@every_outcome
async def test_a_frozen_owner_in_another_process_is_refused_too(
    driver: BaseDriver, second: BaseDriver, outcome: Outcome
) -> None:
    await put(driver, "a")
    frozen = await lose(driver)
    owner = await claim_one(second)
    assert not await settle(driver, frozen, outcome)
    assert await driver.extend([frozen], 60) == [frozen]
    assert await settle(second, owner, Again(0, counted=True))
    assert (await claim_one(second)).attempt == 2


@needs("ends_leases")
@every_outcome
async def test_a_frozen_owner_is_refused_after_the_next_one_has_finished(driver: BaseDriver, outcome: Outcome) -> None:
    await put(driver, "a")
    frozen = await lose(driver)
    assert await settle(driver, await claim_one(driver), Again(0, counted=True))
    assert not await settle(driver, frozen, outcome)
    assert (await claim_one(driver)).attempt == 2


@pytest.mark.parametrize("release", [Unstarted(), Again(0, counted=False)], ids=["unstarted", "uncounted"])
async def test_a_release_repeated_after_anothers_claim_is_refused(driver: BaseDriver, release: Outcome) -> None:
    await put(driver, "a")
    first = await claim_one(driver)
    assert await settle(driver, first, release)
    owner = await claim_one(driver)
    assert not await settle(driver, first, release)
    assert await take_now(driver) == []
    assert await settle(driver, owner, Done())


@every_outcome
async def test_a_receipt_of_an_earlier_life_changes_nothing(driver: BaseDriver, outcome: Outcome) -> None:
    await put(driver, "a")
    stale = await claim_one(driver)
    assert await settle(driver, stale, Done())
    await put(driver, "a")
    assert not await settle(driver, stale, outcome)
    owner = await claim_one(driver)
    assert (owner.attempt, owner.lost) == (1, 0)
    assert not await settle(driver, stale, outcome)
    assert await driver.extend([stale], 60) == [stale]
    assert await settle(driver, owner, Done())


@needs("dead_letters")
async def test_a_receipt_from_before_the_burial_changes_nothing_after_the_requeue(driver: BaseDriver) -> None:
    await put(driver, "a")
    stale = await claim_one(driver)
    assert await settle(driver, stale, Dead("rejected"))
    await letters(driver).requeue("work", ["a"])
    owner = await claim_one(driver)
    assert not await settle(driver, stale, Done())
    assert await settle(driver, owner, Done())


async def test_a_receipt_opens_only_its_own_message(driver: BaseDriver) -> None:
    await bury(driver, "gone")
    await put(driver, "a", "b")
    a, b = await claim(driver, 2)
    assert await settle(driver, a, Done())
    assert not await settle(driver, a, Done())
    assert await settle(driver, b, Again(0, counted=True))
    assert (await claim_one(driver)).attempt == 2


@needs("ends_leases", "unique_ids")
@every_outcome
async def test_settling_a_lapsed_lease_that_nobody_claimed_is_answered_truly(
    driver: BaseDriver, outcome: Outcome
) -> None:
    await put(driver, "a")
    accepted = await settle(driver, await lose(driver), outcome)
    next_ones = await driver.dequeue({"work": 5}, 5, 60)
    came = [(delivery.attempt, delivery.lost) for delivery in next_ones]
    effects: dict[Outcome, list[tuple[int, int]]] = {
        Done(): [], Dead("rejected"): [], Again(0, counted=True): [(2, 0)], Again(0, counted=False): [(1, 0)]
    }  # fmt: skip
    assert came == (effects.get(outcome, [(1, 0)]) if accepted else [(1, 1)])


@needs("ends_leases")
async def test_extending_a_lapsed_lease_that_nobody_claimed_is_answered_truly(driver: BaseDriver) -> None:
    await put(driver, "a")
    lapsed = await lose(driver)
    accepted = await driver.extend([lapsed], 60) == []
    assert await take_now(driver) == ([] if accepted else ["a"])
    assert await settle(driver, lapsed, Done()) == accepted


@needs("ends_leases")
async def test_a_lost_lease_stays_lost_when_the_next_one_gives_back(driver: BaseDriver) -> None:
    await put(driver, "a")
    frozen = await lose(driver)
    assert await settle(driver, await claim_one(driver), Unstarted())
    assert not await settle(driver, frozen, Done())
    assert (await claim_one(driver)).lost == 1

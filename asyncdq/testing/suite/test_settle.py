"""Rule 6 and the outcomes: what each does, and that a batch of them is as good as one after the other."""

from __future__ import annotations

import pytest

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Dead, Delivery, Done, Outcome, Unstarted
from asyncdq.testing.claims import claim, claim_one, every_outcome, ids, letters, passing, put, settle, take_now
from asyncdq.testing.marks import needs


async def test_done_forgets_the_message(driver: BaseDriver) -> None:
    await put(driver, "a")
    assert await settle(driver, await claim_one(driver), Done())
    stats = await driver.stats("work")
    assert [stats.ready or 0, stats.delayed or 0, stats.leased or 0, stats.dead or 0] == [0, 0, 0, 0]


@pytest.mark.parametrize("outcome", [Again(0, counted=True), Again(0, counted=False), Unstarted()])
async def test_without_a_delay_the_message_is_ready_at_once(driver: BaseDriver, outcome: Outcome) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), outcome)
    assert ids(await claim(driver, 1)) == ["a"]


@pytest.mark.parametrize("outcome", [Again(60, counted=True), Again(60, counted=False), Unstarted(60)])
async def test_with_a_delay_the_message_is_hidden(driver: BaseDriver, outcome: Outcome) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), outcome)
    assert await take_now(driver) == []


async def test_a_dead_message_is_not_delivered(driver: BaseDriver) -> None:
    await put(driver, "a")
    assert await settle(driver, await claim_one(driver), Dead("attempts"))
    assert await take_now(driver) == []


async def test_an_empty_batch_of_outcomes_is_nothing(driver: BaseDriver) -> None:
    assert await driver.settle([]) == []
    assert await driver.extend([], 60) == []


async def test_outcomes_of_all_kinds_in_one_call_each_have_their_effect(driver: BaseDriver) -> None:
    await put(driver, *"abcdef")
    a, b, c, d, e, _held = await claim(driver, 6)
    outcomes: list[tuple[Delivery, Outcome]] = [
        (a, Done()), (b, Again(0, counted=True)), (c, Again(0, counted=False)), (d, Unstarted()), (e, Dead("lost"))
    ]  # fmt: skip
    assert await driver.settle(outcomes) == []
    back = {delivery.id: delivery.attempt for delivery in await claim(driver, 3)}
    assert back == {"b": 2, "c": 1, "d": 1}
    assert await take_now(driver) == []


@needs("ends_leases")
async def test_a_batch_returns_exactly_the_deliveries_that_were_lost(driver: BaseDriver) -> None:
    await put(driver, "a", "b")
    lost = await claim(driver, 2, lease=0.1)
    await passing(0.1)
    again = await claim(driver, 2)
    await put(driver, "c", "d")
    held = await claim(driver, 2)
    outcomes: list[tuple[Delivery, Outcome]] = [
        (lost[0], Done()), (held[0], Dead("rejected")), (lost[1], Again(0, counted=True)), (held[1], Done())
    ]  # fmt: skip
    assert await driver.settle(outcomes) == lost
    assert await driver.settle([(delivery, Done()) for delivery in again]) == []
    assert await take_now(driver) == []


async def test_a_batch_may_span_queues(driver: BaseDriver) -> None:
    await put(driver, "a", queue="left")
    await put(driver, "b", queue="right")
    left, right = await claim_one(driver, "left"), await claim_one(driver, "right")
    assert await driver.settle([(left, Done()), (right, Again(0, counted=True))]) == []
    assert await take_now(driver, "left") == []
    assert (await claim_one(driver, "right")).attempt == 2


@every_outcome
async def test_settling_twice_has_one_effect(driver: BaseDriver, outcome: Outcome) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    assert await settle(driver, delivery, outcome)
    before = await driver.stats("work")
    assert not await settle(driver, delivery, outcome)
    assert await driver.stats("work") == before


@every_outcome
async def test_the_first_outcome_is_the_one_that_holds(driver: BaseDriver, outcome: Outcome) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    assert await settle(driver, delivery, Again(60, counted=True))
    assert not await settle(driver, delivery, outcome)
    assert await driver.extend([delivery], 60) == [delivery]
    assert await take_now(driver) == []
    assert (await driver.stats("work")).dead in (0, None)


async def test_another_message_of_the_same_claim_stays_ours(driver: BaseDriver) -> None:
    await put(driver, "a", "b")
    a, b = await claim(driver, 2)
    assert await settle(driver, a, Done())
    assert await driver.extend([a, b], 60) == [a]
    assert await settle(driver, b, Done())


@needs("dead_letters")
async def test_a_thousand_outcomes_may_say_everything_that_utf8_can(driver: BaseDriver) -> None:
    # Without NUL and lone surrogates, which the core takes out before a driver sees them.
    points = [chr(point) for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000]
    texts = {f"{number:04}": "".join(points[number::1000]) for number in range(1000)}
    size = min(driver.limits.batch, 1000)
    names = sorted(texts)
    for batch in (names[start : start + size] for start in range(0, 1000, size)):
        await put(driver, *batch)
        outcomes = [
            (each, Dead("rejected", texts[each.id], texts[each.id])) for each in await claim(driver, len(batch))
        ]
        assert await driver.settle(outcomes) == []
    found = await letters(driver).dead("work", 1000)
    assert {letter.id: letter.error for letter in found} == texts
    assert {letter.id: letter.detail for letter in found} == texts

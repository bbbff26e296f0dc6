"""Drivers tell that outcomes are on their way when that is certain, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import uvloop

from asyncdq.drivers import from_url
from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Delivery, Done, Message, Outcome


@pytest.fixture
async def driver(queue_url: str) -> AsyncIterator[BaseDriver]:
    async with from_url(queue_url) as driver:
        await driver.setup()
        yield driver


async def claimed(driver: BaseDriver, count: int) -> list[Delivery]:
    await driver.enqueue([Message(f"{number}", "work", b"") for number in range(count)])
    found: list[Delivery] = []
    while len(found) < count:
        await driver.wait(["work"], 5.0)
        found += await driver.dequeue({"work": count}, count - len(found), 60.0)
    return found


async def tells(driver: BaseDriver, outcomes: Sequence[tuple[Delivery, Outcome]]) -> bool:
    heard: list[str] = []
    assert await driver.settle_telling(outcomes, lambda: heard.append("sent")) == []
    return heard == ["sent"]


def done(deliveries: Sequence[Delivery]) -> list[tuple[Delivery, Outcome]]:
    return [(each, Done()) for each in deliveries]


@pytest.mark.parametrize("queue_url", ["redis", "postgres"], indirect=True)
async def test_the_first_outcomes_of_a_connection_may_yet_have_to_be_prepared(driver: BaseDriver) -> None:
    held = await claimed(driver, 4)
    assert [await tells(driver, done([each])) for each in held] == [False, True, True, True]


@pytest.mark.parametrize("queue_url", ["redis", "postgres"], indirect=True)
def test_it_is_told_by_a_loop_that_writes_at_the_end_of_its_turn(queue_url: str) -> None:
    async def told() -> list[bool]:
        async with from_url(queue_url) as driver:
            await driver.setup()
            return [await tells(driver, done([each])) for each in await claimed(driver, 3)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(told()) == [False, True, True]


@pytest.mark.parametrize("queue_url", ["postgres"], indirect=True)
async def test_each_kind_of_outcomes_has_a_statement_of_its_own(driver: BaseDriver) -> None:
    held = await claimed(driver, 4)
    again = [(each, Again(9.0, counted=True)) for each in held[2:]]
    assert [await tells(driver, done([each])) for each in held[:2]] == [False, True]
    assert [await tells(driver, [each]) for each in again] == [False, True]


@pytest.mark.parametrize("queue_url", ["mysql"], indirect=True)
async def test_a_single_statement_is_told_if_its_answer_is_short(driver: BaseDriver) -> None:
    if not driver.limits.keeps_sent:
        pytest.skip("MySQL: a delete does not say what it has deleted")
    held = await claimed(driver, 1000)
    assert await tells(driver, done(held[:499]))
    assert not await tells(driver, [*done(held[499:502]), (held[502], Again(9.0, counted=True))])
    rest = held[503:]
    await driver.enqueue([Message(f"more {number}", "work", b"") for number in range(4)])
    rest += await driver.dequeue({"work": 4}, 4, 60.0)
    assert len(rest) == 501
    assert not await tells(driver, done(rest))


@pytest.mark.parametrize("queue_url", ["rabbitmq"], indirect=True)
async def test_a_few_acknowledgements_of_one_queue_are_told(driver: BaseDriver) -> None:
    held = await claimed(driver, 60)
    assert await tells(driver, done(held[1:33:2]))  # each by itself: the first one is older
    assert not await tells(driver, done(held[2:36:2]))
    assert await tells(driver, done([held[0], *held[33:36:2], *held[36:]]))  # all in one

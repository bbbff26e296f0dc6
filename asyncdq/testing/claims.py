"""How the tests enqueue, claim and settle: in one line, waiting for events and never longer than a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asyncdq.drivers.base import BaseDriver, DeadLetters, untold
from asyncdq.message import Again, Dead, Delivery, Done, Message, Outcome, Unstarted

LONG = 60.0
"""A lease or a delay that does not end within a test."""

SOON = 5.0
"""Seconds within which anything that must happen has happened, also on a busy machine."""

every_outcome = pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Done(), id="done"),
        pytest.param(Again(0, counted=True), id="counted"),
        pytest.param(Again(0, counted=False), id="uncounted"),
        pytest.param(Unstarted(), id="unstarted"),
        pytest.param(Dead("rejected"), id="dead"),
    ],
)


def message(id: str, queue: str = "work", body: bytes = b"body", delay: float = 0.0) -> Message:
    """A message of which a test says only what it is about."""
    return Message(id, queue, body, delay)


async def put(driver: BaseDriver, *ids: str, queue: str = "work", delay: float = 0.0) -> None:
    """Enqueue these ids in one call; all must be new."""
    assert await driver.enqueue([message(id, queue, delay=delay) for id in ids]) == []


async def claim(driver: BaseDriver, count: int = 1, queue: str = "work", lease: float = LONG) -> list[Delivery]:
    """Claim `count` messages of one queue, waiting for them as a worker would."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SOON
    claimed = await driver.dequeue({queue: count}, count, lease)
    while len(claimed) < count:
        left = deadline - loop.time()
        assert left > 0, f"only {len(claimed)} of {count} messages came within {SOON} seconds"
        await driver.wait([queue], left)
        missing = count - len(claimed)
        claimed += await driver.dequeue({queue: missing}, missing, lease)
    return claimed


async def claim_one(driver: BaseDriver, queue: str = "work", lease: float = LONG) -> Delivery:
    """Claim one message, waiting for it."""
    return (await claim(driver, 1, queue, lease))[0]


async def lose(driver: BaseDriver, lease: float = 0.04) -> Delivery:
    """Claim one message and let its lease end."""
    delivery = await claim_one(driver, lease=lease)
    await asyncio.sleep(lease)  # the lease began before `claim_one` returned, so now it is over
    return delivery


async def take_now(driver: BaseDriver, queue: str = "work", lease: float = LONG) -> list[str]:
    """The ids that can be claimed at this moment; claims them."""
    return ids(await driver.dequeue({queue: 100}, 100, lease))


async def settle(driver: BaseDriver, delivery: Delivery, outcome: Outcome) -> bool:
    """Settle one delivery; whether it was still ours."""
    refused = await driver.settle_telling([(delivery, outcome)], untold)  # as a worker does
    assert refused in ([], [delivery])
    return not refused


async def bury(driver: BaseDriver, *ids: str, reason: str = "attempts", queue: str = "work") -> None:
    """Enqueue, claim and bury these ids, one after the other."""
    for id in ids:
        await put(driver, id, queue=queue)
        assert await settle(driver, await claim_one(driver, queue), Dead(reason))


async def asleep(driver: BaseDriver, *queues: str, timeout: float = LONG) -> asyncio.Task[None]:
    """A `wait` that is under way."""
    waiter = asyncio.create_task(driver.wait(queues or ["work"], timeout))
    await asyncio.sleep(0.03)  # nothing announces that a wait has begun; too early only makes the test easier
    return waiter


async def passing(seconds: float) -> None:
    """Let this much time pass: where a lease or a delay is the subject, and not what comes of it."""
    await asyncio.sleep(seconds)  # time is the subject


def ids(found: Sequence[Delivery | Message]) -> list[str]:
    """The ids, in order."""
    return [each.id for each in found]


def letters(driver: BaseDriver) -> DeadLetters:
    """The driver's dead letters."""
    assert isinstance(driver, DeadLetters)
    return driver

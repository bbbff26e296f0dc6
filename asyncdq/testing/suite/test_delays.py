"""Rule 9 and "never early": delays, retries and leases, also with fractions, last at least as long as was asked."""

from __future__ import annotations

import asyncio
import time

import pytest

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Outcome, Unstarted
from asyncdq.testing.claims import SOON, claim, claim_one, ids, message, put, settle, take_now
from asyncdq.testing.marks import needs

FRACTIONS = [0.0501, 0.0604999, 0.0712345, 0.08, 0.0900009, 0.1 + 0.2 - 0.2, 1 / 9, 1 / 7]

# Test and backend read the same clock here; what is left is that a clock counts in whole microseconds.
GRAIN = 2e-6


async def arrivals(driver: BaseDriver, count: int, *queues: str) -> dict[str, float]:
    """When each of `count` messages could first be claimed, asking all the time: id -> unix seconds."""
    came: dict[str, float] = {}
    async with asyncio.timeout(SOON):
        while len(came) < count:
            found = await driver.dequeue(dict.fromkeys(queues or ["work"], count), count, 60)
            came.update((id, time.time()) for id in ids(found))
            await asyncio.sleep(0)
    return came


async def test_a_delayed_message_is_never_early(driver: BaseDriver) -> None:
    due: dict[str, float] = {}
    for delay in FRACTIONS:
        due[f"{delay}"] = time.time() + delay
        await put(driver, f"{delay}", delay=delay)
    for id, came in (await arrivals(driver, len(due))).items():
        assert came >= due[id] - GRAIN


@needs("fractions")
async def test_each_message_of_a_batch_has_its_own_delay(driver: BaseDriver) -> None:
    began = time.time()
    await driver.enqueue([message(f"{delay}", delay=delay) for delay in (0.2, 0.0, 0.1)])
    came = await arrivals(driver, 3)
    assert list(came) == ["0.0", "0.1", "0.2"]
    assert all(at - began >= float(id) - GRAIN for id, at in came.items())


@pytest.mark.parametrize("kind", ["counted", "uncounted", "unstarted"])
async def test_a_retry_is_never_early(driver: BaseDriver, kind: str) -> None:
    await put(driver, *(f"{delay}" for delay in FRACTIONS))
    due: dict[str, float] = {}
    for delivery, delay in zip(await claim(driver, len(FRACTIONS)), FRACTIONS, strict=True):
        outcome: Outcome = Unstarted(delay) if kind == "unstarted" else Again(delay, counted=kind == "counted")
        due[delivery.id] = time.time() + delay
        assert await settle(driver, delivery, outcome)
    for id, came in (await arrivals(driver, len(due))).items():
        assert came >= due[id] - GRAIN


@needs("ends_leases")
async def test_a_lease_never_ends_early(driver: BaseDriver) -> None:
    due: dict[str, float] = {}
    for lease in FRACTIONS:
        queue = f"queue-{len(due)}"
        await put(driver, f"{lease}", queue=queue)
        due[f"{lease}"] = time.time() + lease
        await claim_one(driver, queue, lease)
    queues = [f"queue-{number}" for number in range(len(due))]
    for id, came in (await arrivals(driver, len(due), *queues)).items():
        assert came >= due[id] - GRAIN


@needs("ends_leases")
async def test_an_extended_lease_never_ends_early(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    due = time.time() + 0.1234567
    assert await driver.extend([delivery], 0.1234567) == []
    assert (await arrivals(driver, 1))["a"] >= due - GRAIN


async def test_a_delayed_message_comes_by_itself(driver: BaseDriver, second: BaseDriver) -> None:
    await put(driver, "a", delay=0.1)
    assert (await claim_one(second)).id == "a"


@pytest.mark.parametrize("days", [0.012, 0.55, 30, 3650])
async def test_a_delay_may_be_as_long_as_one_likes(driver: BaseDriver, days: float) -> None:
    await put(driver, "a", delay=days * 86400)
    assert await take_now(driver) == []


async def test_a_delayed_message_does_not_hold_up_the_others(driver: BaseDriver) -> None:
    await put(driver, "later", delay=60)
    await put(driver, "now")
    assert await take_now(driver) == ["now"]

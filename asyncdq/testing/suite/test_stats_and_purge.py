"""What a queue holds, by state, and emptying it."""

from __future__ import annotations

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Dead, Done, QueueStats, Unstarted
from asyncdq.testing.backend import Backend
from asyncdq.testing.claims import bury, claim_one, letters, lose, message, put, settle, take_now
from asyncdq.testing.marks import needs


async def fill(driver: BaseDriver) -> None:
    """One dead, two leased, three delayed and four ready messages."""
    await bury(driver, "dead")
    await put(driver, "leased-1", "leased-2")
    await take_now(driver)
    await put(driver, "delayed-1", "delayed-2", "delayed-3", delay=60)
    await put(driver, "ready-1", "ready-2", "ready-3", "ready-4")


@needs("counts_all")
async def test_an_unknown_queue_is_empty(driver: BaseDriver) -> None:
    assert await driver.stats("nowhere") == QueueStats(0, 0, 0, 0)


@needs("counts_all", "dead_letters")
async def test_messages_are_counted_by_state(driver: BaseDriver) -> None:
    await fill(driver)
    assert await driver.stats("work") == QueueStats(ready=4, delayed=3, leased=2, dead=1)


async def test_what_is_counted_is_right_where_it_is_known(driver: BaseDriver) -> None:
    await put(driver, "a", "b")
    await claim_one(driver)
    stats = await driver.stats("work")
    assert stats.ready in (1, None)
    assert stats.leased in (1, None)


@needs("counts_all")
async def test_queues_are_counted_apart(driver: BaseDriver) -> None:
    await driver.enqueue([message("a", "left"), message("b", "right"), message("c", "right")])
    assert (await driver.stats("left")).ready == 1
    assert (await driver.stats("right")).ready == 2


@needs("counts_all", "ends_leases", "fractions")
async def test_an_ended_lease_counts_as_ready(driver: BaseDriver) -> None:
    await put(driver, "a")
    await lose(driver)
    assert await driver.stats("work") == QueueStats(1, 0, 0, 0)


@needs("counts_all")
async def test_a_delay_that_has_passed_counts_as_ready(driver: BaseDriver) -> None:
    await put(driver, "a", delay=0.05)
    assert await driver.stats("work") == QueueStats(0, 1, 0, 0)
    await claim_one(driver, lease=60)
    assert await driver.stats("work") == QueueStats(0, 0, 1, 0)


@needs("counts_all")
async def test_a_release_with_a_delay_counts_as_delayed(driver: BaseDriver) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), Unstarted(60))
    assert await driver.stats("work") == QueueStats(0, 1, 0, 0)


@needs("counts_all")
async def test_another_process_counts_the_same(driver: BaseDriver, second: BaseDriver) -> None:
    await fill(driver)
    assert await second.stats("work") == await driver.stats("work")


async def test_a_purge_takes_what_is_ready(driver: BaseDriver) -> None:
    await put(driver, "a", "b")
    assert await driver.purge("work") in (2, None)
    assert await take_now(driver) == []


@needs("counts_all", "counts_purged", "dead_letters")
async def test_a_purge_spares_what_is_leased_or_dead(driver: BaseDriver, backend: Backend) -> None:
    await fill(driver)
    spared = 0 if backend.purges_delayed else 3
    assert await driver.purge("work") == 7 - spared
    assert await driver.stats("work") == QueueStats(ready=0, delayed=spared, leased=2, dead=1)
    assert [letter.id for letter in await letters(driver).dead("work", 10)] == ["dead"]


async def test_a_delivery_stays_ours_over_a_purge(driver: BaseDriver) -> None:
    await put(driver, "a")
    delivery = await claim_one(driver)
    await driver.purge("work")
    assert await driver.extend([delivery], 60) == []
    assert await settle(driver, delivery, Unstarted())
    assert await take_now(driver) == ["a"]


@needs("ends_leases")
async def test_a_purge_spares_what_a_lease_that_has_ended_still_names(driver: BaseDriver) -> None:
    await put(driver, "a", "b", "c")
    await take_now(driver, lease=0.05)
    await claim_one(driver)  # when the leases have ended: it takes one, and the others are as they were
    await put(driver, "ready")
    assert await driver.purge("work") in (1, None)
    assert len(await take_now(driver)) == 2


async def test_a_purge_spares_the_other_queues(driver: BaseDriver) -> None:
    await put(driver, "a", queue="left")
    await put(driver, "b", queue="right")
    await driver.purge("left")
    assert await take_now(driver, "right") == ["b"]


@needs("counts_purged")
async def test_purging_an_empty_queue_takes_nothing(driver: BaseDriver) -> None:
    assert await driver.purge("nowhere") == 0


@needs("unique_ids")
async def test_a_purged_id_may_be_enqueued_again(driver: BaseDriver) -> None:
    await put(driver, "a")
    await driver.purge("work")
    await put(driver, "a")
    assert await take_now(driver) == ["a"]


@needs("lists_queues")
async def test_every_queue_that_holds_something_is_listed(driver: BaseDriver) -> None:
    assert await driver.queues() == []
    await put(driver, "a", queue="ready")
    await put(driver, "a", queue="delayed", delay=60)
    await put(driver, "a", queue="leased")
    await claim_one(driver, "leased")
    assert sorted(await driver.queues() or []) == ["delayed", "leased", "ready"]


@needs("lists_queues", "dead_letters")
async def test_a_queue_with_nothing_but_dead_letters_is_listed(driver: BaseDriver) -> None:
    await put(driver, "a", queue="graves")
    await settle(driver, await claim_one(driver, "graves"), Dead("rejected"))
    assert await driver.queues() == ["graves"]


@needs("lists_queues")
async def test_an_emptied_queue_is_not_listed(driver: BaseDriver) -> None:
    await put(driver, "a")
    await settle(driver, await claim_one(driver), Done())
    assert await driver.queues() == []

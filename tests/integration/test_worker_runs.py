"""When a worker ends by itself, and in what order it takes what is there."""

from __future__ import annotations

import asyncio

import pytest

from asyncdq import Worker

from . import jobs
from .workers import EMPTY, Site, counts


async def test_a_burst_ends_when_the_queues_are_empty_and_does_not_count_what_is_delayed(site: Site) -> None:
    now = await site.enqueue(jobs.mark.bind() for _ in range(30))
    await site.enqueue([jobs.mark.using(delay=600).bind()])
    await site.burst()
    assert site.ledger.successes() == dict.fromkeys(now, 1)
    assert counts(await site.stats(), delayed=1)


async def test_a_burst_does_what_its_tasks_enqueue(site: Site) -> None:
    await site.enqueue([jobs.enqueue.bind(10)])
    await site.burst()
    assert len(site.ledger.successes()) == 10


async def test_a_burst_does_what_is_retried_without_a_delay(site: Site) -> None:
    (id,) = await site.enqueue([jobs.fail_until.bind(3)])
    await site.burst()
    assert [(entry.attempt, entry.said) for entry in site.ledger.ends(id)] == [
        (1, "ValueError"),
        (2, "ValueError"),
        (3, "returned"),
    ]


async def test_a_burst_of_a_worker_process_ends_with_exit_code_0(site: Site) -> None:
    await site.enqueue([jobs.mark.bind(), jobs.fail.bind(), jobs.mark_in_thread.bind(), jobs.mark_in_process.bind()])
    worker = site.start("--burst")
    assert await worker.exited() == 0
    assert len(site.ledger.successes()) == 3


async def test_max_tasks_is_exact_with_ten_slots(site: Site) -> None:
    await site.enqueue(jobs.linger.bind(0.001) for _ in range(50))
    await Worker(site.url, max_tasks=17, concurrency=10).start(handle_signals=False)
    assert len(site.ledger.starts()) == 17
    assert counts(await site.stats(), ready=33, leased=0)


async def test_max_tasks_is_exact_across_queues_and_kinds_of_tasks(site: Site) -> None:
    for queue in ["high", "low"] * 3:
        await site.enqueue(
            [
                jobs.mark.using(queue=queue).bind(),
                jobs.mark_in_thread.using(queue=queue).bind(),
                jobs.mark_in_process.using(queue=queue).bind(),
            ]
        )
    worker = Worker(site.url, ["high", "low"], max_tasks=13, concurrency=10, process_pool_size=1)
    await worker.start(handle_signals=False)
    assert len(site.ledger.starts()) == 13


async def test_an_earlier_queue_is_empty_before_a_later_one_is_touched(site: Site) -> None:
    await site.enqueue(jobs.mark.bind("default") for _ in range(20))
    await site.enqueue(jobs.mark.using(queue="high").bind("high") for _ in range(20))
    await site.burst(queues=["high", "default"], concurrency=1, claim_ahead=0)
    assert [entry.said for entry in site.ledger.starts()] == ["high"] * 20 + ["default"] * 20


async def test_what_arrives_in_an_earlier_queue_goes_before_what_waits_in_a_later_one(site: Site) -> None:
    await site.enqueue(jobs.mark_and_enqueue.bind("default", "high", "high") for _ in range(20))
    await site.burst(queues=["high", "default"], concurrency=1, claim_ahead=0)
    assert [entry.said for entry in site.ledger.starts()] == ["default", "high"] * 20


async def test_a_worker_that_waits_starts_what_arrives(site: Site) -> None:
    async with site.working():
        for number in range(20):
            await site.enqueue([jobs.mark.bind()])
            await site.ended(number + 1)
        await site.wait_for_stats(leased=0)
    assert counts(await site.stats(), **EMPTY)


async def test_workers_in_one_process_share_a_queue_without_doing_anything_twice(site: Site) -> None:
    ids = await site.enqueue(jobs.mark.bind() for _ in range(500))
    async with site.working(), site.working(), site.working():
        await site.until(lambda: not site.ledger.lost())
    assert site.ledger.successes() == dict.fromkeys(ids, 1)


async def test_a_worker_that_is_cancelled_gives_everything_back(site: Site) -> None:
    await site.enqueue(jobs.hold.bind(site.gate) for _ in range(20))
    work = asyncio.create_task(Worker(site.url, concurrency=5, grace_period=600).start(handle_signals=False))
    await site.started(5)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert counts(await site.stats(), ready=20, leased=0)
    assert [entry.said for entry in site.ledger.ends()] == ["CancelledError"] * 5


@pytest.mark.parametrize("queue_url", ["rabbitmq"], indirect=True)
async def test_a_worker_says_that_its_leases_do_not_end_by_time(site: Site) -> None:
    worker = await site.start().ready()
    assert "visibility_timeout has no effect" in worker.log

"""SIGTERM and SIGINT, once, twice and three times: what runs may end, the rest is given back, nothing is stranded."""

from __future__ import annotations

import asyncio
import random
from signal import SIGINT, SIGTERM, Signals

import pytest

from asyncdq import Task

from . import jobs
from .workers import Site, WorkerProcess, counts, sqlite_only

BOUND = 5.0
"""Seconds that a worker may need beside its grace period, on a busy machine."""

either_signal = pytest.mark.parametrize("number", [SIGTERM, SIGINT], ids=lambda number: number.name)


@either_signal
async def test_a_signal_lets_what_runs_end_and_leaves_the_rest_alone(number: Signals, site: Site) -> None:
    held = await site.enqueue(jobs.hold.bind(site.gate) for _ in range(5))
    await site.enqueue(jobs.mark.bind() for _ in range(500))
    worker = site.start("-c", "5")
    await site.started(5)
    worker.signal(number)
    await worker.says(f"{number.name}: finishing")
    site.open_gate()
    assert await worker.exited() == 0
    assert site.ledger.successes() == dict.fromkeys(held, 1)
    assert len(site.ledger.starts()) == 5
    assert counts(await site.stats(), ready=500, delayed=0, leased=0, dead=0)


@pytest.mark.parametrize(
    "task", [jobs.hold, jobs.hold_in_thread, jobs.hold_in_process], ids=lambda task: task.function.__name__
)
async def test_what_outlasts_the_grace_period_is_given_back_and_does_not_count(
    task: Task[[str], object, None], site: Site
) -> None:
    (id,) = await site.enqueue([task.bind(site.gate)])
    worker = site.start("--grace-period", "0.2")
    await site.started(1)
    worker.signal(SIGTERM)
    assert await worker.exited(0.2 + BOUND) == 0
    assert (await site.stats()).ready == 1
    site.open_gate()
    await site.burst()
    assert [entry.attempt for entry in site.ledger.starts(id)] == [1, 1]
    assert site.ledger.successes() == {id: 1}


@sqlite_only
@either_signal
async def test_a_second_signal_cancels_what_runs_and_gives_it_back(number: Signals, site: Site) -> None:
    (id,) = await site.enqueue([jobs.hold.bind(site.gate)])
    worker = site.start("--grace-period", "600")
    await site.started(1)
    worker.signal(number)
    await worker.says(f"{number.name}: finishing")
    worker.signal(number)
    assert await worker.exited() == 0
    assert [entry.said for entry in site.ledger.ends(id)] == ["CancelledError"]
    site.open_gate()
    await site.burst()
    assert [entry.attempt for entry in site.ledger.starts(id)] == [1, 1]


@sqlite_only
@either_signal
async def test_a_third_signal_ends_the_process_at_once(number: Signals, site: Site) -> None:
    (id,) = await site.enqueue([jobs.refuse_to_end.bind(site.gate)])
    worker = site.start("--grace-period", "600", "--task-defaults-visibility-timeout", "1")
    await site.started(1)
    for said in ("finishing", "cancelling"):
        worker.signal(number)
        await worker.says(f"{number.name}: {said}")
    worker.signal(number)
    assert await worker.exited() == 128 + number
    site.open_gate()
    async with site.working():
        await site.until(lambda: site.ledger.successes() == {id: 1})  # when its lease has ended


@sqlite_only
async def test_a_worker_that_is_stopped_before_it_reached_its_server_says_so(site: Site) -> None:
    worker = site.start("--url", "redis://127.0.0.1:1")  # nobody listens there
    await worker.says("connection lost")
    worker.signal(SIGTERM)
    assert await worker.exited() == 0
    assert worker.log.splitlines()[-1].endswith("it was stopped before it reached its backend")


@sqlite_only
async def test_a_coroutine_that_swallows_its_cancellation_is_left_behind_and_given_back(site: Site) -> None:
    (id,) = await site.enqueue([jobs.refuse_to_end.bind(site.gate)])
    worker = site.start("--grace-period", "0")
    await site.started(1)
    worker.signal(SIGTERM)
    assert await worker.exited() == 0
    assert worker.log_lines(id, "cannot be ended")
    assert (await site.stats()).ready == 1


async def test_a_task_that_enqueues_while_its_worker_drains_is_stored(site: Site) -> None:
    await site.enqueue([jobs.hold_and_enqueue.bind(site.gate, "after the signal")])
    worker = site.start()
    await site.started(1)
    worker.signal(SIGTERM)
    await worker.says("SIGTERM: finishing")
    site.open_gate()
    assert await worker.exited() == 0
    await site.burst()
    assert site.ledger.starts()[-1].said == "after the signal"


@pytest.mark.slow
async def test_workers_stopped_at_random_moments_under_load_leave_nothing_leased(site: Site) -> None:
    rounds = 3 if site.url.startswith("sqlite") else 2
    await site.enqueue(jobs.mark.bind() if n % 2 else jobs.linger.bind(0.005) for n in range(4_000))
    for _ in range(rounds):
        workers = [site.start("-v", "warning", "--grace-period", "10") for _ in range(4)]
        codes = await asyncio.gather(*(_stop_at_a_random_moment(worker, site) for worker in workers))
        assert codes == [0] * 4
        assert counts(await site.stats(), leased=0)
    assert site.ledger.lost()  # else the last of them had nothing to do
    assert len(site.ledger.starts()) == len(site.ledger.ends()) == site.ledger.successes().total()
    assert set(site.ledger.successes().values()) == {1}


async def _stop_at_a_random_moment(worker: WorkerProcess, site: Site) -> int:
    def works() -> bool:
        return any(entry.pid == worker.pid for entry in reversed(site.ledger.starts()))

    await site.until(works)
    await asyncio.sleep(random.uniform(0, 0.1))  # the moment is what varies
    worker.signal(SIGTERM)
    return await worker.exited()

"""Workers that are told to end, at every moment."""

from __future__ import annotations

import asyncio
import time
from signal import SIGTERM

from tests.integration import jobs
from tests.integration.workers import WorkerProcess

from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

SLOTS = 10
LEASE = 10.0
"""Seconds: what is stranded comes back so late that it is noticed."""


async def drained(trial: Trial) -> Report:
    """SIGTERM with all slots busy and the queue full: what runs ends, the rest is as it was."""
    worker = trial.worker(concurrency=SLOTS, lease=LEASE)
    held = await trial.enqueue(jobs.hold.bind(trial.site.gate) for _ in range(SLOTS))
    await trial.until(lambda: len(trial.began(worker)) >= SLOTS)
    await trial.enqueue(jobs.mark.bind() for _ in range(trial.scale.tasks))
    await trial.wait(trial.rng.uniform(0.0, 0.3))
    worker.signal(SIGTERM)
    await trial.until(lambda: "finishing" in worker.log)
    trial.site.open_gate()
    also = await _code(trial, worker, 5.0)
    if others := trial.started() - set(held):
        also.append(f"{len(others)} tasks were started after the signal")
    return await _rest(trial, also)


async def out_of_grace(trial: Trial) -> Report:
    """SIGTERM with tasks that outlast the grace period: they are given back at once."""
    worker = trial.worker("--grace-period", "0.2", concurrency=SLOTS, lease=LEASE)
    await trial.enqueue(jobs.hold.bind(trial.site.gate) for _ in range(SLOTS))
    await trial.enqueue(jobs.mark.bind() for _ in range(trial.scale.tasks // 10))
    await trial.until(lambda: len(trial.began(worker)) >= SLOTS)
    worker.signal(SIGTERM)
    also = await _code(trial, worker, 0.2 + 5.0)
    trial.site.open_gate()
    return await _rest(trial, also, given_back=SLOTS)


async def in_the_gap(trial: Trial) -> Report:
    """SIGTERM at random moments under load, again and again: nothing is stranded until its lease ends."""
    also: list[str] = []
    async with trial.load(lambda: (jobs.mark.bind() for _ in range(20))):
        for _ in range(trial.scale.rounds):
            workers = [trial.worker(concurrency=SLOTS, lease=LEASE) for _ in range(2)]
            moments = [trial.rng.uniform(0.0, 0.1) for _ in workers]
            for wrong in await asyncio.gather(*map(_stopped, [trial] * 2, workers, moments)):
                also += wrong
    return await _rest(trial, also)


async def _stopped(trial: Trial, worker: WorkerProcess, moment: float) -> list[str]:
    await trial.until_it_works(worker)
    await trial.wait(moment)
    worker.signal(SIGTERM)
    return await _code(trial, worker, 30.0)


async def _code(trial: Trial, worker: WorkerProcess, seconds: float) -> list[str]:
    """What is wrong with the end of a worker that was told to end."""
    if not await trial.until(lambda: not worker.alive, seconds * trial.crowd):
        return [f"worker {worker.pid} had not ended {seconds:g} s after the signal"]
    code = await worker.exited()
    return [f"worker {worker.pid} ended with {code}"] if code else []


async def _rest(trial: Trial, also: list[str], given_back: int = 0) -> Report:
    """Nothing is leased now, and another worker does what is left at once."""
    if leased := (await trial.site.stats()).leased:
        also.append(f"{leased} tasks are still leased to workers that have ended")
    within = 5.0 + len(trial.unfinished()) / 500
    worker = trial.worker(concurrency=100, lease=LEASE)
    await trial.until_it_works(worker)
    since = trial.began(worker)[0].at if trial.began(worker) else time.time()
    done_at = await trial.finished()
    return await trial.report(Bounds(duplicates=given_back, recovery=within), max(0.0, done_at - since), also)


DRAINED = Scenario("10", "SIGTERM with a full queue", drained)
OUT_OF_GRACE = Scenario("10", "SIGTERM with tasks longer than the grace period", out_of_grace)
IN_THE_GAP = Scenario("11", "SIGTERM at any moment", in_the_gap)

SCENARIOS = (DRAINED, OUT_OF_GRACE, IN_THE_GAP)

"""Delays, retries and leases: never early, and how late."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tests.integration import clocks, jobs

from . import hops
from .account import Promise
from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial


async def due_together(trial: Trial) -> Report:
    """Thousands of tasks are due in the same second, and four workers wait for them."""
    await trial.ready(*(trial.worker(concurrency=25) for _ in range(4)))
    tasks = min(trial.scale.tasks, trial.ground.longest)
    due = time.time() + (1.0 + tasks / 2000) * trial.crowd
    task = jobs.mark.using(run_at=datetime.fromtimestamp(due, UTC))
    for start in range(0, tasks, 1000):
        await trial.enqueue((task.bind() for _ in range(min(1000, tasks - start))), Promise(due=due))
    await trial.finished()
    return await trial.report(Bounds(duplicates=0, late=2.0 + tasks / 1000))


async def retried(trial: Trial) -> Report:
    """Tasks that fail twice, each with a delay before its first attempt and a pause before each other one."""
    await trial.ready(trial.worker(concurrency=50))
    for _ in range(max(20, trial.scale.rounds)):
        delay = round(trial.rng.uniform(0.1, 0.8), 3)
        task = jobs.fail_until.using(delay=delay, retry_delay=0.5)
        await trial.enqueue([task.bind(3)], Promise(due=time.time() + delay, retry=0.5))
    await trial.finished()
    return await trial.report(Bounds(duplicates=0, late=2.0))


async def skewed(trial: Trial) -> Report:
    """One worker's clock is an hour ahead, one's an hour behind, one's is right: delays and leases are the server's."""
    if not clocks.AVAILABLE:
        return await trial.report(Bounds(), also=["faketime is missing: apt-get install faketime"])
    lease = 1.0
    staff = [trial.worker(lease=lease)]
    for wrong in (3600.0, -3600.0):
        with clocks.wrong(trial.site, wrong):
            staff.append(trial.worker(lease=lease))
        trial.off[staff[-1].pid] = wrong
    try:
        await trial.ready(*staff)
        await trial.enqueue(jobs.linger.bind(2 * trial.lease(lease)) for _ in range(24))
        for _ in range(20):
            task = jobs.fail_until.using(delay=0.5, retry_delay=0.5)
            await trial.enqueue([task.bind(2)], Promise(due=time.time() + 0.5, retry=0.5))
        await trial.finished()
        return await trial.report(Bounds(duplicates=0, late=5.0))
    finally:
        for worker in staff:
            worker.end()
        clocks.sweep(trial.off)


FAR = (16 * 60.0, 13 * 3600.0, 30 * 86400.0)
"""Seconds: just beyond the longest delay of SQS, beyond its longest lease, and beyond what it keeps a message."""


async def hopping(trial: Trial) -> Report:
    """Delays that take many steps where a broker knows none so long: SQS with steps of a second instead of 15 minutes,
    RabbitMQ's ladder of powers of two. A worker is killed meanwhile; and what is due much later does not start."""
    steps = hops.shortened(trial.site, seconds=1)
    trial.extra += steps
    far = await trial.site.client.enqueue_many(jobs.mark.using(queue="far", delay=delay).bind() for delay in FAR)
    lease = 2.0
    staff = [trial.worker("-q", "default,far", lease=lease) for _ in range(2)]
    await trial.ready(*staff)
    for _ in range(trial.scale.rounds):
        delay = round(trial.rng.uniform(1.2, 8.0), 3)
        await trial.enqueue([jobs.mark.using(delay=delay).bind()], Promise(due=time.time() + delay))
    await trial.wait(trial.rng.uniform(1.0, 3.0))
    staff[0].kill()
    trial.worker("-q", "default,far", lease=lease)
    await trial.finished()
    also = ["what is due in 16 minutes or later was started"] if {each.id for each in far} & trial.started() else []
    stats = await trial.site.stats("far")
    kept = [each for each in (stats.ready, stats.delayed, stats.leased) if each is not None]
    if stats.delayed is not None and sum(kept) != len(FAR):
        also.append(f"of three tasks that are due in 16 minutes or later, there are {stats}")
    # The worker that was killed was running some; and of what it was sending on it may have left the old ones, too,
    # which come when their lease is over.
    bounds = Bounds(duplicates=10 + (trial.scale.rounds if steps else 0), late=lease + trial.ground.takeover)
    return await trial.report(bounds, also=also)


TOGETHER = Scenario("12", "thousands of tasks due at one moment", due_together)
RETRIED = Scenario("14", "delays, and pauses between attempts", retried)
HOPPING = Scenario("13", "delays of many steps, and of 30 days", hopping)
SKEWED = Scenario("18", "workers whose clocks are an hour off", skewed, frozenset({"clock"}))

SCENARIOS = (TOGETHER, RETRIED, HOPPING, SKEWED)

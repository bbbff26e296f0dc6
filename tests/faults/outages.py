"""Servers that are killed, stopped or frozen under load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from asyncdq import Call
from tests.integration import jobs

from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

SLOTS, LEASE = 10, 1.0

BACK_WITHIN = 5.0
"""Seconds after the server's return within which every worker works again."""


def _some() -> Iterable[Call[Any]]:
    return (jobs.linger.bind(0.002) for _ in range(10))


async def killed(trial: Trial) -> Report:
    """kill -9 the server under load; it is away for some seconds, and comes back with what it had."""
    return await _outage(trial, trial.server.kill9, trial.server.start, trial.ground.forgets)


async def stopped(trial: Trial) -> Report:
    """The same in order: a restart for an update."""
    return await _outage(trial, trial.server.stop, trial.server.start)


async def frozen(trial: Trial) -> Report:
    """Freeze the server for longer than the leases: connections stay open, and nobody answers."""
    return await _outage(trial, trial.server.pause, trial.server.resume)


async def _outage(trial: Trial, begin: Callable[[], None], end: Callable[[], None], forgets: float = 0.0) -> Report:
    await trial.enqueue(jobs.linger.bind(0.01) for _ in range(trial.scale.tasks // 5))
    staff = [trial.worker(concurrency=SLOTS, lease=LEASE) for _ in range(2)]
    async with trial.load(_some):
        for worker in staff:
            await trial.until_it_works(worker)
        await trial.wait(trial.rng.uniform(0.2, 1.0))
        began = time.time()
        begin()
        await trial.wait(trial.scale.away)
        end()
        back = time.time()
        await trial.until(lambda: all(trial.began(worker, back) for worker in staff))
        away = [worker for worker in staff if not trial.began(worker, back)]
        again = max((trial.began(worker, back)[0].at - back for worker in staff if worker not in away), default=None)
    await trial.finished()
    # Held by the two workers, running or claimed ahead; and what the server forgot, or never heard.
    recent = trial.site.ledger.ended_before(began, max(forgets, trial.ground.unheard))
    also = [f"worker {worker.pid} did not work again" for worker in away]
    return await trial.report(Bounds(duplicates=2 * 2 * SLOTS + recent, recovery=BACK_WITHIN), again, also)


KILLED = Scenario("2", "the server killed", killed, frozenset({"server", "durable"}))
STOPPED = Scenario("2", "the server restarted in order", stopped, frozenset({"server"}))
FROZEN = Scenario("3", "the server frozen for longer than a lease", frozen, frozenset({"server"}))

SCENARIOS = (KILLED, STOPPED, FROZEN)

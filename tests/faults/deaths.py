"""Workers that are killed, frozen, or slow."""

from __future__ import annotations

import time

from tests.integration import jobs
from tests.integration.workers import WorkerProcess

from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

SLOTS = 10


async def killed(trial: Trial) -> Report:
    """kill -9 a worker every one to two seconds, and start another one."""
    kills, lease, short = trial.scale.kills, 2.0, trial.scale.kills < 5
    # Of dozens of deaths some task has three, and would be buried as promised; scenario 7 is about that.
    task = jobs.linger.using(max_attempts=max(3, kills // 10)).bind(0.1 if short else 0.05)
    await trial.enqueue([task] * trial.scale.tasks)
    staff = [trial.worker(concurrency=SLOTS, lease=lease) for _ in range(3)]
    for _ in range(kills):
        victim = trial.rng.choice(staff)
        moment = trial.rng.uniform(0.2, 0.4) if short else trial.rng.uniform(1.0, 2.0)
        async with trial.load(lambda: [task]):  # so that there is something to do, however slow workers start
            await trial.until_it_works(victim)
            await trial.wait(moment)
        victim.kill()
        staff[staff.index(victim)] = trial.worker(concurrency=SLOTS, lease=lease)
    last, held = time.time(), trial.started() & trial.unfinished()
    await trial.finished()
    recovered = max((entry.at for entry in trial.site.ledger.ends() if entry.id in held), default=last)
    # Running, and where no completion is confirmed, also what had just ended.
    each = 2 * SLOTS if trial.ground.unheard else SLOTS
    bounds = Bounds(duplicates=kills * each, recovery=lease + trial.ground.takeover)
    return await trial.report(bounds, recovered - last)


async def frozen(trial: Trial) -> Report:
    """Freeze a worker past its leases, let another one take over, and wake it."""
    slots, lease = 5, 1.0
    sleeper = trial.worker("-q", "default,its_own", concurrency=slots, lease=lease)
    held = await trial.enqueue(jobs.hold.bind(trial.site.gate) for _ in range(slots))
    await trial.until(lambda: len(trial.began(sleeper)) == slots)
    heir = trial.worker("-q", "default,heirs", concurrency=slots, lease=lease)
    await trial.enqueue([jobs.mark.using(queue="heirs").bind()])
    await trial.until_it_works(heir)
    trial.site.freeze(sleeper)
    since = time.time()
    await trial.until(lambda: len(trial.began(heir)) > slots)
    took_over = time.time() - since
    sleeper.thaw()
    cancelled = await trial.until(lambda: _ended(trial, sleeper) >= set(held), 3.0 * trial.crowd)
    (own,) = await trial.enqueue([jobs.mark.using(queue="its_own").bind()])
    works = await trial.until(lambda: own in {entry.id for entry in trial.began(sleeper)}, 5.0 * trial.crowd)
    trial.site.open_gate()
    await trial.finished()
    also = [] if cancelled else ["what the worker no longer owned was not cancelled when it woke"]
    also += [] if works else ["the worker that was frozen works no more"]
    bounds = Bounds(duplicates=slots, twice=0, recovery=lease + trial.ground.takeover)
    return await trial.report(bounds, took_over, also)


def _ended(trial: Trial, worker: WorkerProcess) -> set[str]:
    return {entry.id for entry in trial.site.ledger.ends() if entry.pid == worker.pid}


async def healthy(trial: Trial) -> Report:
    """Tasks of three leases, and others that wait behind them, while another worker has nothing to do."""
    lease = 1.0
    trial.worker("--claim-ahead", "10", concurrency=SLOTS, lease=lease)
    await trial.enqueue(jobs.linger.bind(3 * trial.lease(lease)) for _ in range(SLOTS))
    await trial.until(lambda: len(trial.site.ledger.starts()) >= SLOTS)
    await trial.enqueue(jobs.mark.bind() for _ in range(5))
    trial.worker(concurrency=SLOTS, lease=lease)
    await trial.finished()
    return await trial.report(Bounds(duplicates=0))


async def parked(trial: Trial) -> Report:
    """A long task in every slot, and a hundred short ones behind them; then there is another worker."""
    long = trial.worker("--claim-ahead", "100", concurrency=2, lease=30.0)
    await trial.enqueue(jobs.hold.bind(trial.site.gate) for _ in range(2))
    await trial.until(lambda: len(trial.began(long)) == 2)
    short = await trial.enqueue(jobs.mark.bind() for _ in range(100))
    await trial.enqueue([jobs.mark.using(queue="others").bind()])
    other = trial.worker("-q", "default,others", lease=30.0)
    await trial.until_it_works(other)
    since = trial.began(other)[0].at
    await trial.until(lambda: trial.unfinished().isdisjoint(short))
    took = max(entry.at for entry in trial.site.ledger.starts() if entry.id in set(short)) - since
    pids = {entry.pid for entry in trial.site.ledger.starts() if entry.id in set(short)}
    also = [] if pids == {other.pid} else ["the worker with the long tasks ran short ones, too"]
    trial.site.open_gate()
    await trial.finished()
    return await trial.report(Bounds(duplicates=0, recovery=2.0 + trial.ground.slack), took, also)


KILLED = Scenario("1", "workers killed, one after the other", killed)
FROZEN = Scenario("5", "a worker frozen past its leases", frozen)
HEALTHY = Scenario("6", "tasks of three leases", healthy)
PARKED = Scenario("22", "short tasks claimed behind long ones", parked)

SCENARIOS = (KILLED, FROZEN, HEALTHY, PARKED)

"""Producers that do not stay: a script enqueues and exits."""

from __future__ import annotations

import asyncio
import json

from .account import Promise
from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

TWICE = """
import asyncio
from tests.integration import jobs
print(asyncio.run(jobs.mark.enqueue()).id)
print(asyncio.run(jobs.mark.enqueue()).id)
print(jobs.mark.enqueue_sync().id)
"""

DELAYED = """
import json, sys, time
from tests.integration import jobs
before = time.time()
print(json.dumps([before, jobs.mark.using(delay=float(sys.argv[1])).enqueue_sync().id]))
"""


async def exits(trial: Trial) -> Report:
    """Scripts that enqueue in two event loops and in none, and exit: nothing on stderr, and nothing is lost."""
    also: list[str] = []
    rounds = trial.scale.rounds if trial.ground.driver != "sqlite" else trial.scale.rounds * 3
    for start in range(0, rounds, 4):  # four at a time
        scripts = [trial.site.script(TWICE) for _ in range(min(4, rounds - start))]
        for code, output, errors in await asyncio.gather(*scripts):
            trial.site.ledger.enqueued(output.split(), Promise().said)
            also += [f"a script ended with {code}: {errors.strip()[-200:]}"] if code or errors else []
    trial.worker()
    await trial.finished()
    return await trial.report(Bounds(duplicates=0, twice=0), also=also)


async def delayed(trial: Trial) -> Report:
    """Scripts that enqueue for later and exit before it is time; whoever works then delivers."""
    also: list[str] = []
    await trial.ready(trial.worker(concurrency=50))
    for _ in range(min(10, trial.scale.rounds)):
        delay = round(trial.rng.uniform(0.5, 2.0), 3)
        code, output, errors = await trial.site.script(DELAYED, f"{delay}")
        also += [f"a script ended with {code}: {errors.strip()[-200:]}"] if code or errors else []
        if not code:
            before, id = json.loads(output)
            trial.site.ledger.enqueued([id], Promise(due=before + delay).said)
    await trial.finished()
    return await trial.report(Bounds(duplicates=0, late=2.0), also=also)


EXITS = Scenario("20", "scripts that enqueue and exit", exits)
DELAYED_EXIT = Scenario("13", "scripts that enqueue for later and exit", delayed)

SCENARIOS = (EXITS, DELAYED_EXIT)

"""How much of what a worker may do at a time it does: tasks that wait, tasks that keep a core busy."""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Sequence

from .bench import Bench, Measure, Numbers, filled
from .bodies import PAUSE, WORK
from .contender import Contender
from .trial import trial_of

WAVES = 30
"""Tasks for each slot."""

FIRST = 10
"""Of these, the ones that do not count: after the start all slots become free at the same moment, again and again."""

LONGEST = 60.0
"""Seconds after which a contender is measured by what it has done: at the ceiling it takes three."""


def io(concurrency: int) -> Measure:
    """The share of the ceiling, which is `concurrency` tasks per 100 ms, of tasks that wait."""

    def measure(bench: Bench, contender: Contender) -> Numbers | None:
        count = concurrency * WAVES
        with trial_of(contender, bench.store) as trial:
            filled(bench, trial, count, "io")
            with trial.working(concurrency, task="io") as workers:
                executed = workers.executions
                workers.until_first()
                before, ends = workers.usage.cpu(), time.monotonic() + LONGEST
                goes_on = workers.until(lambda: len(executed.ids) >= count or time.monotonic() > ends)
                cpu = workers.usage.cpu() - before
        rate = rate_while_full(executed.times, concurrency) * len(executed.ids) / max(1, len(executed.times))
        return {
            "share": rate * PAUSE / concurrency * 100,
            "rate": rate,
            "cpu_us": cpu / max(1, len(executed.ids)) * 1e6,
            "lost": 0 if goes_on else count - len(executed.ids),
            "doubled": executed.doubled,
            "over": max(0, most_at_once(executed.times) - concurrency),
        }

    return measure


def rate_while_full(times: Sequence[float], concurrency: int) -> float:
    """Starts per second after the FIRST, until as many are left as there are slots: from then on some are empty.

    Of who has not come so far: of all that it started.
    """
    first, full = FIRST * concurrency, len(times) - concurrency
    moments = sorted(times)
    if full <= first:
        return len(times) / max(PAUSE, moments[-1] - moments[0]) if moments else 0.0
    return (full - first) / max(PAUSE, moments[full] - moments[first])  # who starts all at once leaves no time between


def most_at_once(times: Sequence[float]) -> int:
    """How many ran at the same time: their starts lie closer together than each is long."""
    moments = sorted(times)
    return max((place + 1 - bisect(moments, moment - PAUSE * 0.9) for place, moment in enumerate(moments)), default=0)


def cpu(bench: Bench, contender: Contender) -> Numbers | None:
    """The share of two cores that goes into the tasks, as of `io`: some start their second process with a task."""
    count = 2000
    with trial_of(contender, bench.store) as trial:
        filled(bench, trial, count, "cpu")
        with trial.working(2, task="cpu") as workers:
            workers.until_first()
            complete = workers.until_executed(count)
    executed = workers.executions
    rate = rate_while_full(executed.times, 2) * len(executed.ids) / max(1, len(executed.times))
    lost = 0 if complete else count - len(executed.ids)
    return {"share": rate * WORK / 2 * 100, "rate": rate, "lost": lost, "doubled": executed.doubled}

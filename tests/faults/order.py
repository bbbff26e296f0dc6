"""Queues in their order, while several workers and a producer are at it."""

from __future__ import annotations

from tests.integration import jobs

from .account import Promise
from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial


async def priorities(trial: Trial) -> Report:
    """Three queues are filled, the least important one first; then three workers begin."""
    names = ("high", "middle", "low")
    share, busy = (trial.scale.tasks // 30, 0.1) if trial.scale.tasks > 3_000 else (60, 0.2)
    for rank, name in reversed(list(enumerate(names))):
        task = jobs.linger.using(queue=name)
        await trial.enqueue((task.bind(busy) for _ in range(share)), Promise(rank=rank))
    for _ in range(3):
        trial.worker("-q", ",".join(names), "--claim-ahead", "0", concurrency=5)
    await trial.finished()
    return await trial.report(Bounds(duplicates=0))


PRIORITIES = Scenario("-", "three queues and three workers", priorities)

SCENARIOS = (PRIORITIES,)

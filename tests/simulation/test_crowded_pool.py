"""A pool with more jobs than processes: whatever is cancelled, late, killed or frozen, each job is run as it should be.

Jobs stand ready behind others, begin by themselves, and are taken back: what goes wrong there needs a moment, so
there are many worlds, each with a crowd of jobs.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from asyncdq.context import CurrentTask
from asyncdq.errors import ExecutionError, ProcessDied, TaskTimeout
from asyncdq.message import Done, Unstarted
from asyncdq.retry import RetryPolicy
from asyncdq.worker.job import Job, Verdict
from asyncdq.worker.pool import ProcessPool
from asyncdq.worker.turn import Parked

from .ledger import LEDGER, Ledger
from .machine import ScriptedProcess
from .records import Execution, Promise
from .seeds import each_world
from .tasks import dying, separate
from .virtual import OUTSIDE, Process, VirtualLoop

SECONDS = (0.0, 0.01, 0.01, 0.3, 0.3, 2.0)


class Diary(Ledger):
    """Says what ran and when; there is no server here, and so no lease."""

    def broken(self, rule: str) -> None:
        """Not judged here."""


@dataclass
class Errand:
    """A job of the crowd, and what happened to it as the pool tells."""

    id: str
    seconds: float
    deadly: bool
    refuses: bool
    timeout: float | None
    until: float
    patience: float
    cancelled: bool = False
    closing: bool = False  # the pool was closed meanwhile
    started: list[float] = field(default_factory=list[float])
    told: Verdict | BaseException | None = None

    def job(self) -> Job:
        function = dying if self.deadly else separate
        current = CurrentTask(self.id, function.name, "default", 1, 3, None)
        return Job(function.module, function.qualname, (self.seconds,), {}, current, RetryPolicy(), 0.0)

    def begin(self) -> None:
        self.started.append(asyncio.get_running_loop().time())
        if self.refuses:
            raise Parked


def errand(number: int) -> Errand:
    roll, now = random.random, asyncio.get_running_loop().time()
    return Errand(
        f"job {number}",
        random.choice(SECONDS),
        deadly=roll() < 0.1,
        refuses=roll() < 0.1,
        timeout=random.choice((0.01, 0.3, 1.0)) if roll() < 0.2 else None,
        until=now + random.choice((0.01, 0.3, 2.0)) if roll() < 0.2 else math.inf,
        patience=random.choice((0.01, 0.31, 1.0, 1.5)) if roll() < 0.3 else math.inf,
    )


async def send(pool: ProcessPool, errand: Errand) -> None:
    run = asyncio.create_task(
        pool.run(
            errand.job(),
            timeout=errand.timeout,
            started=errand.begin,
            until=lambda: errand.until,
            patience=errand.patience,
        )
    )

    def cancel() -> None:
        errand.cancelled = run.cancel()

    if random.random() < 0.2:
        asyncio.get_running_loop().call_later(random.choice((0.0, 0.01, 0.3, 1.0, 2.0)), cancel)
    await asyncio.wait([run])
    errand.told = asyncio.CancelledError() if run.cancelled() else run.exception() or run.result()
    last = LEDGER.get().executions[errand.id][-1:]
    assert all(execution.end for execution in last), f"{errand.id} still runs, though its run has ended"


async def close(pool: ProcessPool, errands: list[Errand]) -> None:
    for each in errands:
        each.closing = True
    await pool.close()


async def crowd(pool: ProcessPool) -> list[Errand]:
    sending, errands = [], list[Errand]()
    if random.random() < 0.1:
        asyncio.get_running_loop().call_later(
            random.uniform(0.0, 4.0), lambda: sending.append(asyncio.create_task(close(pool, errands)))
        )
    for number in range(random.choice((2, 5, 12))):
        errands.append(errand(number))
        errands[-1].closing = pool._closed
        LEDGER.get().promised(errands[-1].id, Promise(frozenset()), 0.0)
        sending.append(asyncio.create_task(send(pool, errands[-1])))
        if random.random() < 0.3:
            await asyncio.sleep(random.choice((0.0, 0.01, 0.3)))  # virtual: until the next comes
    await asyncio.gather(*sending)
    await pool.close()
    assert not pool._children
    return errands


async def world(seed: int) -> None:
    random.seed(seed)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    ledger = Diary(loop.time)
    LEDGER.set(ledger)
    worker = Process(loop, "worker")
    size = random.choice((1, 1, 2, 3))
    pool = ProcessPool(size, max_tasks_per_child=random.choice((None, None, 1, 2, 5)), start=ScriptedProcess)
    if random.random() < 0.3:
        begins, lasts = random.uniform(0.0, 4.0), random.choice((0.01, 0.3, 2.0))
        loop.call_later(begins, worker.freeze, context=OUTSIDE)
        loop.call_later(begins + lasts, worker.thaw, context=OUTSIDE)
    for each in await worker.start(crowd(pool)):
        judge(each, ledger.executions[each.id])
    judge_together([run for runs in ledger.executions.values() for run in runs], size)


def judge(errand: Errand, runs: list[Execution]) -> None:
    """One job: what the pool told of it is what happened, and its own fault."""
    story = f"{errand} ran as {runs}"
    returned = [run for run in runs if run.end == "returned"]
    assert len(runs) <= 1, story
    match errand.told:
        case Verdict(outcome=Done()):
            assert returned, story
            assert not errand.deadly, story
        case Verdict(outcome=Unstarted()):
            assert not runs, story
            assert errand.until < math.inf, story
        case ProcessDied():
            assert errand.deadly or errand.closing, story
        case TaskTimeout():
            assert errand.timeout is not None, story
        case ExecutionError():
            assert errand.closing, story
            assert not runs, story
        case Parked():
            assert errand.refuses or (errand.patience < math.inf and not runs), story
        case asyncio.CancelledError():
            assert errand.cancelled, story
        case _:
            raise AssertionError(story)
    assert len(errand.started) <= 1, story


def judge_together(runs: list[Execution], size: int) -> None:
    """No more at once than there are processes; one that is being killed is replaced meanwhile."""
    lasting = [each for each in runs if each.end != "killed"]
    for each in lasting:
        at_once = [other for other in lasting if other.started <= each.started < (other.ended or math.inf)]
        assert len(at_once) <= size, f"{len(at_once)} at once in {size} processes: {at_once}"


def test_each_job_of_a_crowd_is_run_as_it_should_be() -> None:
    each_world(1000, world)

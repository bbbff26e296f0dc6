"""The pool on scripted processes: what happens in the moments that real ones do not hold still for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from asyncdq.context import CurrentTask
from asyncdq.errors import TaskTimeout
from asyncdq.message import Done
from asyncdq.retry import RetryPolicy
from asyncdq.worker.job import Job, Verdict
from asyncdq.worker.pipe import Frame
from asyncdq.worker.pool import ProcessPool
from asyncdq.worker.turn import Parked

from .bench import Bench, slow, virtual
from .machine import DEATH, ScriptedProcess
from .tasks import separate

CURRENT = CurrentTask("a", separate.name, "default", 1, 3, None)
JOB = Job(separate.module, separate.qualname, (1.0,), {}, CURRENT, RetryPolicy(), 0.0)


@virtual
async def test_an_idle_process_that_has_ended_gets_no_job_before_it_is_gone() -> None:
    pool, made = one_process()
    await pool.run(JOB, timeout=None, started=lambda: None)
    made[0].leave()
    assert (await pool.run(JOB, timeout=None, started=lambda: None)).outcome == Done()
    assert len(made) == 2
    await pool.close()


@virtual
async def test_a_run_that_is_cancelled_in_the_moment_of_its_end_leaves_the_process_to_the_next() -> None:
    pool, made = one_process()
    first = begin(pool, lambda: None)
    second = begin(pool, lambda: cancelled.append(first.cancel()))
    cancelled: list[bool] = []
    assert (await second).outcome == Done()
    assert cancelled == [True]
    assert first.cancelled()
    assert len(made) == 1
    await pool.close()


@virtual
async def test_jobs_that_cannot_begin_when_their_turn_comes_cost_no_process() -> None:
    pool, made = one_process()
    first, late = begin(pool, lambda: None), begin(pool, refusing(Parked()))
    broken, last = begin(pool, refusing(ZeroDivisionError())), begin(pool, lambda: None)
    assert [(await each).outcome for each in (first, last)] == [Done(), Done()]
    # The others had to wait for it; these find it idle.
    for late_one in late, begin(pool, refusing(Parked())):
        with pytest.raises(Parked):
            await late_one
    for broken_one in broken, begin(pool, refusing(ZeroDivisionError())):
        with pytest.raises(ZeroDivisionError):
            await broken_one
    assert (await begin(pool, lambda: None)).outcome == Done()
    assert len(made) == 1
    await pool.close()


@virtual
async def test_a_run_that_is_cancelled_in_the_moment_of_its_start_is_ended_with_its_process() -> None:
    pool, made = one_process()
    first = begin(pool, lambda: None)
    second = begin(pool, lambda: soon(second.cancel))
    third = begin(pool, lambda: None)
    assert (await first).outcome == Done()
    await asyncio.wait([second])
    assert second.cancelled()
    assert made[0].gone.done()
    assert (await third).outcome == Done()
    assert len(made) == 2
    await pool.close()


@virtual
async def test_a_timeout_in_the_moment_of_the_end_leaves_the_process_to_the_next() -> None:
    pool, made = one_process()
    late = asyncio.create_task(pool.run(JOB, timeout=1.0, started=lambda: None))
    assert (await begin(pool, lambda: None)).outcome == Done()
    assert isinstance(late.exception(), TaskTimeout)
    assert len(made) == 1
    await pool.close()


@virtual
async def test_a_process_that_was_killed_gets_no_other_job_when_its_verdict_still_comes() -> None:
    pool, made = one_process()
    late = asyncio.create_task(pool.run(JOB, timeout=1.0 - DEATH / 2, started=lambda: None))
    assert (await begin(pool, lambda: None)).outcome == Done()
    assert isinstance(late.exception(), TaskTimeout)
    assert len(made) == 2
    await pool.close()


class HeardLate(ScriptedProcess):
    """What it says is on its way for a while."""

    def _say(self, frame: Frame) -> None:
        self._loop.call_later(0.1, self._heard, frame)


@virtual
async def test_a_job_is_parked_while_no_process_has_begun_it() -> None:
    before, ready = await behind_two(patience=2.0)
    assert (before.result().outcome, type(ready.exception())) == (Done(), Parked)


@virtual
async def test_a_job_that_a_process_has_begun_by_itself_is_not_parked_though_nobody_has_heard_of_it() -> None:
    before, ready = await behind_two(patience=2.15)
    assert (before.result().outcome, ready.result().outcome) == (Done(), Done())


@virtual
async def test_a_job_that_a_process_has_begun_by_itself_has_started_when_it_is_cancelled_unheard() -> None:
    (pool, made), begun = one_process(HeardLate), list[str]()
    await pool.run(JOB, timeout=None, started=lambda: None)
    names = ["first", "before", "ready"]
    runs = [asyncio.create_task(pool.run(JOB, timeout=None, started=partial(begun.append, name))) for name in names]
    await asyncio.sleep(2.15)  # virtual: for a twentieth of a second the process has been at the last one
    assert begun == ["first", "before"]
    runs[2].cancel()
    await asyncio.wait(runs)
    assert (begun, len(made)) == (names, 1)
    await pool.close()


async def behind_two(patience: float) -> tuple[asyncio.Task[Verdict], asyncio.Task[Verdict]]:
    """A run that begins after 1.1 seconds, and one ready behind it, which begins after 2.1; that is heard at 2.2."""
    pool, made = one_process(HeardLate)
    await pool.run(JOB, timeout=None, started=lambda: None)
    _, before = begin(pool, lambda: None), begin(pool, lambda: None)
    ready = asyncio.create_task(pool.run(JOB, timeout=None, started=lambda: None, patience=patience))
    await asyncio.wait([before, ready])
    assert len(made) == 1
    await pool.close()
    return before, ready


def one_process(kind: type[ScriptedProcess] = ScriptedProcess) -> tuple[ProcessPool, list[ScriptedProcess]]:
    """A pool of one, and the processes that it has started."""
    Bench()
    made: list[ScriptedProcess] = []

    def start() -> ScriptedProcess:
        made.append(kind())
        return made[-1]

    return ProcessPool(1, start=start), made


def begin(pool: ProcessPool, started: Callable[[], None]) -> asyncio.Task[Verdict]:
    """A run in the background."""
    return asyncio.create_task(pool.run(JOB, timeout=None, started=started))


def refusing(error: BaseException) -> Callable[[], None]:
    """What a job calls at its start, and cannot begin."""

    def refuse() -> None:
        raise error

    return refuse


def soon(what: Callable[[], object]) -> None:
    """In this turn of the event loop, before who is woken now."""
    asyncio.get_running_loop().call_soon(what)


@virtual
async def test_outcomes_wait_for_each_other_only_while_jobs_stand_in_line_for_a_process() -> None:
    bench, others = Bench(), [f"{number}" for number in range(8)]
    bench.network.next["settle"] = [slow(0.0001, 0.0001)] * 9
    task = separate.using(queue="default")
    await bench.put(task, "first", args=[0.5])
    hired = bench.hire(process_pool_size=1)
    await bench.until(lambda: bench.runs("first"), 10.0)
    told = len(bench.calls(hired, "settle"))  # what was given back while the process started
    await bench.put(task, *others, args=[0.0035])
    await bench.until(lambda: all(bench.ends("first", *others)), 10.0)
    # Three end within 10 ms, whether or not the process pauses after each; when the last but one ends the last one
    # leaves the line, and nothing waits any more.
    assert [len(outcomes) for outcomes in bench.calls(hired, "settle")[told:]] == [3, 3, 2, 1]
    await hired.retire()

"""The pool on scripted processes: what happens in the moments that real ones do not hold still for."""

from __future__ import annotations

from asyncdq.context import CurrentTask
from asyncdq.message import Done
from asyncdq.retry import RetryPolicy
from asyncdq.worker.job import Job
from asyncdq.worker.pool import ProcessPool

from .bench import Bench, slow, virtual
from .machine import ScriptedProcess
from .tasks import separate

CURRENT = CurrentTask("a", separate.name, "default", 1, 3, None)
JOB = Job(separate.module, separate.qualname, (1.0,), {}, CURRENT, RetryPolicy(), 0.0)


@virtual
async def test_an_idle_process_that_has_ended_gets_no_job_before_it_is_gone() -> None:
    Bench()
    made: list[ScriptedProcess] = []

    def start() -> ScriptedProcess:
        made.append(ScriptedProcess())
        return made[-1]

    pool = ProcessPool(1, start=start)
    await pool.run(JOB, timeout=None, started=lambda: None)
    made[0].leave()
    assert (await pool.run(JOB, timeout=None, started=lambda: None)).outcome == Done()
    assert len(made) == 2
    await pool.close()


@virtual
async def test_outcomes_wait_for_each_other_only_while_jobs_stand_in_line_for_a_process() -> None:
    bench, others = Bench(), [f"{number}" for number in range(8)]
    bench.network.next["settle"] = [slow(0.0001, 0.0001)] * 9
    task = separate.using(queue="default")
    await bench.put(task, "first", args=[0.5])
    hired = bench.hire(process_pool_size=1)
    await bench.until(lambda: bench.runs("first"), 10.0)
    told = len(bench.calls(hired, "settle"))  # what was given back while the process started
    await bench.put(task, *others, args=[0.004])
    await bench.until(lambda: all(bench.ends("first", *others)), 10.0)
    # Three end within 10 ms; when the last but one ends the last one leaves the line, and nothing waits any more.
    assert [len(outcomes) for outcomes in bench.calls(hired, "settle")[told:]] == [3, 3, 2, 1]
    await hired.retire()

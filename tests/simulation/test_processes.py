"""The pool on scripted processes: what happens in the moments that real ones do not hold still for."""

from __future__ import annotations

from asyncdq.context import CurrentTask
from asyncdq.message import Done
from asyncdq.retry import RetryPolicy
from asyncdq.worker.job import Job
from asyncdq.worker.pool import ProcessPool

from .bench import Bench, virtual
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

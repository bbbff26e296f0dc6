"""The process pool, with real processes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from asyncdq.errors import (
    ConfigurationError,
    ExecutionError,
    ProcessDied,
    SerializationError,
    TaskTimeout,
)
from asyncdq.message import Again, Call, Dead, Done, Enqueued
from asyncdq.worker.job import Job, Verdict
from asyncdq.worker.pool import ProcessPool

from .pool_tasks import Stubborn
from .pools import Memory, begin, gone, job, pids, pool_children, run, until


@pytest.fixture
async def pool() -> AsyncIterator[ProcessPool]:
    pool = ProcessPool(1, sender=Memory())
    yield pool
    await pool.close()


async def test_a_function_and_a_decorated_one_run_in_the_same_process(pool: ProcessPool, tmp_path: Path) -> None:
    verdict = await run(pool, "write_pid", str(tmp_path / "pids"))
    await run(pool, "wrapped", str(tmp_path / "pids"))
    first, second = pids(tmp_path / "pids")
    assert first == second != os.getpid()
    assert verdict.outcome == Done()
    assert 0 < verdict.duration < 30


@pytest.mark.timeout(30)
def test_a_pool_is_closed_though_its_event_loop_was_torn_down_when_a_process_had_just_been_started() -> None:
    closed: list[ProcessPool] = []

    async def work() -> None:
        pool = ProcessPool(1)
        try:
            await run(pool, "write_task_name", "/dev/null")
        finally:
            await pool.close()
            closed.append(pool)

    async def main() -> asyncio.Task[None]:
        return asyncio.create_task(work())

    asyncio.run(main())  # cancels it in the turn in which it has started the process
    assert len(closed) == 1


async def test_a_coroutine_function_runs_and_knows_its_task(pool: ProcessPool, tmp_path: Path) -> None:
    assert (await run(pool, "write_task_name", str(tmp_path / "name"))).error == ""
    assert (tmp_path / "name").read_text() == "write_task_name"


async def test_arguments_are_fitted_to_the_annotations(pool: ProcessPool, tmp_path: Path) -> None:
    await run(pool, "write_fitted", str(tmp_path / "path"))
    assert (tmp_path / "path").read_text() == "fitted"


async def test_an_error_becomes_a_retry_or_a_dead_letter_by_the_policy(pool: ProcessPool) -> None:
    assert ending(await run(pool, "fail", delay=7)) == (Again(7, counted=True), "ValueError: as it was told")
    buried = (await run(pool, "fail", max_attempts=1)).outcome
    assert isinstance(buried, Dead)
    assert buried.reason == "attempts"
    assert "in fail" in buried.detail


def ending(verdict: Verdict) -> tuple[Any, str]:
    return verdict.outcome, verdict.error


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (job("leave"), "SystemExit: 3"),
        (job("nothing", module="tests.integration.no_such"), "ModuleNotFoundError: No module named"),
        (job("no_such"), "UnknownTask: the process finds no 'no_such'"),
        (job("nothing", 1), "TypeError: nothing() takes 0 positional arguments"),
    ],
)
async def test_what_goes_wrong_in_the_task_is_a_failed_attempt(pool: ProcessPool, bad: Job, error: str) -> None:
    verdict = await pool.run(bad, timeout=30, started=lambda: None)
    assert verdict.outcome == Again(60, counted=True)
    assert verdict.error.startswith(error)
    assert (await run(pool, "nothing")).outcome == Done()


async def test_an_argument_that_the_process_cannot_read_is_a_failed_attempt(pool: ProcessPool) -> None:
    verdict = await run(pool, "nothing", Stubborn())
    assert ending(verdict) == (Again(60, True), "ZeroDivisionError: this argument cannot be read")


async def test_a_job_that_cannot_be_written_is_refused_without_a_process() -> None:
    pool = ProcessPool(1)
    with pytest.raises(SerializationError, match="nothing: an argument or an error class"):
        await run(pool, "nothing", lambda: None)
    assert pool_children() == []


async def test_a_timeout_kills_the_process_and_what_it_started(pool: ProcessPool, tmp_path: Path) -> None:
    await run(pool, "write_pid", str(tmp_path / "victim"))
    with pytest.raises(TaskTimeout, match=r"start_and_spin was ended by its timeout of 0\.5 s"):
        await run(pool, "start_and_spin", str(tmp_path / "grandchild"), timeout=0.5)
    assert not psutil.pid_exists(pids(tmp_path / "victim")[0])
    await until(lambda: gone(pids(tmp_path / "grandchild")[0]))
    assert (await run(pool, "nothing")).outcome == Done()


async def test_a_cancelled_run_ends_when_its_process_has_ended(pool: ProcessPool, tmp_path: Path) -> None:
    running, _ = begin(pool, "spin_in_c", str(tmp_path / "pid"))
    await until(lambda: pids(tmp_path / "pid"))
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert not psutil.pid_exists(pids(tmp_path / "pid")[0])


async def test_jobs_start_in_the_order_they_came_and_a_cancelled_one_leaves_the_line(pool: ProcessPool) -> None:
    order: list[int] = []
    runs = [
        asyncio.create_task(pool.run(job("nothing"), timeout=None, started=partial(order.append, number)))
        for number in range(5)
    ]
    await asyncio.sleep(0)
    runs[2].cancel()
    await asyncio.wait(runs)
    assert order == [0, 1, 3, 4]
    assert runs[2].cancelled()


async def test_a_process_that_starts_serves_the_next_job_when_its_first_leaves_the_line(pool: ProcessPool) -> None:
    waiting, started = begin(pool, "nothing")
    await until(pool_children)
    before = pool_children()
    waiting.cancel()
    await run(pool, "nothing")
    assert pool_children() == before
    assert not started.is_set()


@pytest.mark.parametrize(
    ("name", "cause"),
    [("die", "exit code 3"), ("crash", "killed by SIGSEGV"), ("fork_and_die", "exit code 4")],
)
async def test_a_process_that_dies_fails_its_own_job_alone(name: str, cause: str) -> None:
    pool = ProcessPool(2)
    neighbour, started = begin(pool, "spin")
    await started.wait()
    with pytest.raises(ProcessDied, match=cause):
        await run(pool, name)
    assert (await run(pool, "nothing")).outcome == Done()
    assert not neighbour.done()
    await pool.close()
    with pytest.raises(ProcessDied, match="SIGKILL"):
        await neighbour


async def test_an_idle_process_that_is_killed_costs_no_job(pool: ProcessPool) -> None:
    await run(pool, "nothing")
    (child,) = pool_children()
    os.kill(child, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(child))
    assert (await run(pool, "nothing")).outcome == Done()


@pytest.mark.parametrize("name", ["signal_own_group", "start_a_program_and_terminate_it", "fork_and_return"])
async def test_signals_and_forks_leave_the_process_as_it_was(pool: ProcessPool, name: str) -> None:
    await run(pool, "nothing")
    before = pool_children()
    assert ending(await run(pool, name)) == (Done(), "")
    assert ending(await run(pool, "nothing")) == (Done(), "")
    assert pool_children() == before


async def test_a_process_is_replaced_after_its_last_task(tmp_path: Path) -> None:
    pool = ProcessPool(1, max_tasks_per_child=2)
    for _ in range(5):
        await run(pool, "write_pid", str(tmp_path / "pids"))
    await pool.close()
    a, b, c, d, e = pids(tmp_path / "pids")
    assert (a, c) == (b, d)
    assert len({a, c, e}) == 3


async def test_processes_start_when_they_are_needed_and_never_more_than_the_size() -> None:
    pool = ProcessPool(2)
    assert pool_children() == []
    await run(pool, "nothing")
    assert len(pool_children()) == 1
    await asyncio.gather(*(run(pool, "nothing") for _ in range(20)))
    assert len(pool_children()) == 2
    await pool.close()


async def test_a_task_enqueues_through_the_worker() -> None:
    memory = Memory()
    pool = ProcessPool(1, sender=memory)
    assert (await run(pool, "enqueue", "a", "b")).error == ""
    assert (await run(pool, "enqueue_many", 30)).error == ""
    await pool.close()
    assert [call.name for call in memory.calls[:2]] == ["a", "b"]
    assert {call.name for call in memory.calls[2:]} == {str(n) for n in range(30)}


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (job("enqueue", "refused"), "ConnectionLost: the backend is away"),
        (job("enqueue", "odd"), "AsyncdqError: Odd: one and two"),
        (job("enqueue_what_does_not_pickle"), "UnserializableArgument: these arguments cannot leave the process"),
    ],
)
async def test_an_enqueue_that_fails_raises_in_the_task(pool: ProcessPool, sent: Job, error: str) -> None:
    assert (await pool.run(sent, timeout=30, started=lambda: None)).error.startswith(error)
    assert (await run(pool, "enqueue", "after")).error == ""


@pytest.mark.parametrize("end", ["before the answer", "behind the answer"])
async def test_the_answer_that_a_task_has_not_waited_for_reaches_no_other(end: str, tmp_path: Path) -> None:
    slow, rung, go = Slow(), tmp_path / "rung", tmp_path / "go"
    pool = ProcessPool(1, sender=slow)
    alarmed, _ = begin(pool, "enqueue_until_an_alarm", "a", str(rung), str(go))
    after, started = begin(pool, "enqueue", "refused")
    await until(rung.exists)
    if end == "before the answer":
        go.touch()
        await asyncio.wait_for(started.wait(), 30)  # in the process in which the first one has ended
    slow.may_answer.set()
    await until(lambda: slow.calls)
    go.touch()
    assert (await alarmed).error == ""
    assert (await after).error == "ConnectionLost: the backend is away"
    assert (await run(pool, "enqueue", "b")).error == ""
    await pool.close()
    assert [call.name for call in slow.calls] == ["a", "b"]


async def test_the_answer_that_a_task_has_not_waited_for_is_not_that_of_its_next_call(tmp_path: Path) -> None:
    slow, rung, go = Slow(), tmp_path / "rung", tmp_path / "go"
    pool = ProcessPool(1, sender=slow)
    alarmed, _ = begin(pool, "enqueue_until_an_alarm", "a", str(rung), str(go), "b", "refused")
    await until(rung.exists)
    slow.may_answer.set()
    go.touch()
    assert (await alarmed).error == "ConnectionLost: the backend is away"
    await pool.close()
    assert [call.name for call in slow.calls] == ["a", "b"]


class Slow(Memory):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def send(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        await self.may_answer.wait()
        return await super().send(calls)


async def test_an_enqueue_without_a_client_says_so() -> None:
    pool = ProcessPool(1)
    assert (await run(pool, "enqueue", "a")).error.startswith("ConfigurationError: this worker has no client")
    await pool.close()


async def test_many_megabytes_cross_the_pipe_both_ways() -> None:
    memory, data = Memory(), os.urandom(1 << 20) * 32
    pool = ProcessPool(1, sender=memory)
    assert (await run(pool, "enqueue_bytes", data)).error == ""
    await pool.close()
    assert memory.calls[0].args == (data,)


async def test_idle_processes_end_by_themselves_when_the_pool_closes(tmp_path: Path) -> None:
    pool = ProcessPool(1)
    await run(pool, "write_at_exit", str(tmp_path / "exits"))
    await pool.close()
    assert len(pids(tmp_path / "exits")) == 1


async def test_a_closed_pool_leaves_no_process_and_nothing_open() -> None:
    await use_up_a_pool()  # the first use starts multiprocessing's tracker
    gc.collect()
    before = psutil.Process().num_fds()
    await use_up_a_pool()
    assert psutil.Process().num_fds() == before
    assert pool_children() == []


async def use_up_a_pool() -> None:
    """One process is killed with its job, one is idle, one has a job, when the pool is closed twice at once."""
    pool = ProcessPool(2, max_tasks_per_child=2)
    await asyncio.gather(*(run(pool, "nothing") for _ in range(5)))
    with pytest.raises(TaskTimeout):
        await run(pool, "spin", timeout=0.1)
    busy, started = begin(pool, "spin")
    await started.wait()
    await asyncio.gather(pool.close(), pool.close())
    with pytest.raises(ProcessDied):
        await busy


async def test_a_closed_pool_refuses_jobs_also_those_in_line() -> None:
    pool = ProcessPool(1)
    waiting, _ = begin(pool, "nothing")
    await until(pool_children)
    await pool.close()
    with pytest.raises(ExecutionError, match="closed"):
        await waiting
    with pytest.raises(ExecutionError, match="closed"):
        await run(pool, "nothing")


def test_a_size_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="or more"):
        ProcessPool(-1)
    with pytest.raises(ConfigurationError, match="or more"):
        ProcessPool(1, max_tasks_per_child=0)


async def test_a_pool_of_no_processes_refuses_jobs() -> None:
    with pytest.raises(ExecutionError, match="process_pool_size"):
        await run(ProcessPool(0), "nothing")


async def test_a_pool_works_on_an_event_loop_in_another_thread() -> None:
    async def use() -> Verdict:
        pool = ProcessPool(1)
        try:
            return await run(pool, "nothing")
        finally:
            await pool.close()

    assert (await asyncio.to_thread(asyncio.run, use())).outcome == Done()

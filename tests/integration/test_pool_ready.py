"""Jobs that stand ready at a process which still runs another: they begin by themselves, or nowhere twice."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from asyncdq.errors import ProcessDied, TaskTimeout
from asyncdq.message import Done, Unstarted
from asyncdq.worker.job import Verdict
from asyncdq.worker.pool import ProcessPool
from asyncdq.worker.process import PoolProcess
from asyncdq.worker.turn import Parked

from .pools import Memory, begin, job, pids, run, until


class Unhurried(PoolProcess):
    """Has jobs ready behind it also on a slow machine."""

    short = math.inf


@pytest.fixture
async def pool() -> AsyncIterator[ProcessPool]:
    """Of one process, which has run a job."""
    pool = ProcessPool(1, sender=Memory(), start=Unhurried)
    await run(pool, "nothing")
    yield pool
    await pool.close()


async def test_a_job_that_is_ready_begins_by_itself_when_the_one_before_has_ended(
    pool: ProcessPool, tmp_path: Path
) -> None:
    jobs = [begin(pool, "write_pid", str(tmp_path / "pids"))[0] for _ in range(20)]
    verdicts = await asyncio.gather(*jobs)
    assert [verdict.outcome for verdict in verdicts] == [Done()] * 20
    assert len(pids(tmp_path / "pids")) == 20
    assert len(set(pids(tmp_path / "pids"))) == 1


async def one_ready(
    pool: ProcessPool, folder: Path, timeout: float | None = None
) -> tuple[asyncio.Task[Verdict], asyncio.Task[Verdict]]:
    """A task that runs until the file `go` is there, and behind it at the same process one that writes `pid`."""
    begin(pool, "nothing")
    waiting = job("wait_for", str(folder / "go"), str(folder / "running"))
    before = asyncio.create_task(pool.run(waiting, timeout=timeout, started=lambda: None))
    ready, _ = begin(pool, "write_pid", str(folder / "pid"))
    await until(lambda: pids(folder / "running"))
    assert len(pool._ready) == 1
    return before, ready


async def test_it_comes_through_while_the_task_before_it_waits_for_an_answer(pool: ProcessPool, tmp_path: Path) -> None:
    begin(pool, "nothing")
    (before, _), (ready, _) = begin(pool, "enqueue", "a", "b"), begin(pool, "write_pid", str(tmp_path / "pid"))
    assert [(await each).outcome for each in (before, ready)] == [Done()] * 2
    assert len(pids(tmp_path / "pid")) == 1


async def test_one_that_is_cancelled_never_begins(pool: ProcessPool, tmp_path: Path) -> None:
    before, ready = await one_ready(pool, tmp_path)
    ready.cancel()
    await asyncio.wait([ready])
    (tmp_path / "go").touch()
    assert (await before).outcome == Done()
    assert (await run(pool, "nothing")).outcome == Done()
    assert not (tmp_path / "pid").exists()
    assert ready.cancelled()


async def test_one_that_is_given_instead_of_a_cancelled_one_begins(pool: ProcessPool, tmp_path: Path) -> None:
    before, ready = await one_ready(pool, tmp_path)
    (instead, _), (last, _) = begin(pool, "write_pid", str(tmp_path / "instead")), begin(pool, "nothing")
    ready.cancel()
    await asyncio.wait([ready])
    (tmp_path / "go").touch()
    assert [(await each).outcome for each in (before, instead, last)] == [Done()] * 3
    assert len(pids(tmp_path / "instead")) == 1
    assert not (tmp_path / "pid").exists()


async def test_one_that_does_not_fit_into_the_pipe_is_given_later(pool: ProcessPool, tmp_path: Path) -> None:
    begin(pool, "nothing")
    (before, _), (large, _) = begin(pool, "nothing"), begin(pool, "count", bytes(2**20), str(tmp_path / "size"))
    assert [(await each).outcome for each in (before, large)] == [Done()] * 2
    assert (tmp_path / "size").read_text() == str(2**20)


async def test_the_death_of_the_process_costs_only_the_job_that_it_runs(pool: ProcessPool, tmp_path: Path) -> None:
    before, ready = await one_ready(pool, tmp_path)
    psutil.Process(pids(tmp_path / "running")[0]).kill()
    with pytest.raises(ProcessDied):
        await before
    assert (await ready).outcome == Done()
    assert pids(tmp_path / "pid") != pids(tmp_path / "running")


async def test_a_timeout_costs_only_the_job_whose_it_is(pool: ProcessPool, tmp_path: Path) -> None:
    before, ready = await one_ready(pool, tmp_path, timeout=2.0)
    with pytest.raises(TaskTimeout):
        await before
    assert (await ready).outcome == Done()
    assert len(pids(tmp_path / "pid")) == 1


async def test_a_process_that_is_free_takes_it_from_one_that_is_not(tmp_path: Path) -> None:
    pool = ProcessPool(2, start=Unhurried)
    first, second = [
        begin(pool, "wait_for", str(tmp_path / f"go {number}"), str(tmp_path / f"running {number}"))[0]
        for number in (1, 2)
    ]
    await until(lambda: pids(tmp_path / "running 1") and pids(tmp_path / "running 2"))
    (tmp_path / "go 1").touch()
    await first
    long, ready = await one_ready(pool, tmp_path)
    (tmp_path / "go 2").touch()
    await second
    assert (await ready).outcome == Done()
    assert pids(tmp_path / "pid") == pids(tmp_path / "running 2")
    assert not long.done()
    (tmp_path / "go").touch()
    await long
    await pool.close()


async def test_one_whose_time_is_over_is_not_begun(pool: ProcessPool, tmp_path: Path) -> None:
    begin(pool, "nothing")
    before, _ = begin(pool, "wait_for", str(tmp_path / "go"), str(tmp_path / "running"))
    over = job("write_pid", str(tmp_path / "pid"))
    late = asyncio.create_task(pool.run(over, timeout=None, started=lambda: None, until=lambda: 0.0))
    await until(lambda: pids(tmp_path / "running"))
    (tmp_path / "go").touch()
    assert (await before).outcome == Done()
    assert (await late).outcome == Unstarted()
    assert (await run(pool, "nothing")).outcome == Done()
    assert not (tmp_path / "pid").exists()


async def test_one_gets_a_process_of_its_own_as_soon_as_there_may_be_another(tmp_path: Path) -> None:
    pool = ProcessPool(2, start=Unhurried)
    first, _ = begin(pool, "wait_for", str(tmp_path / "end"), str(tmp_path / "first"))
    await until(lambda: pids(tmp_path / "first"))
    second, _ = begin(pool, "wait_for", str(tmp_path / "go 2"), str(tmp_path / "second"))
    await until(lambda: pids(tmp_path / "second"))
    (tmp_path / "end").touch()
    await first
    long, ready = await one_ready(pool, tmp_path)
    psutil.Process(pids(tmp_path / "second")[0]).kill()
    with pytest.raises(ProcessDied):
        await second
    assert (await ready).outcome == Done()
    assert not long.done()
    (tmp_path / "go").touch()
    await long
    await pool.close()


async def test_a_default_timeout_of_sockets_changes_nothing(tmp_path: Path) -> None:
    socket.setdefaulttimeout(20)
    try:
        pool = ProcessPool(1, start=Unhurried)
        await run(pool, "set_default_timeout", 20)
        began = time.monotonic()
        before, ready = await one_ready(pool, tmp_path)
        ready.cancel()
        await asyncio.wait([ready])
        (tmp_path / "go").touch()
        await before
        assert (await run(pool, "nothing")).outcome == Done()
        assert time.monotonic() - began < 20
        await pool.close()
    finally:
        socket.setdefaulttimeout(None)


async def test_one_that_cannot_begin_is_ended_with_its_process(pool: ProcessPool, tmp_path: Path) -> None:
    def refuse() -> None:
        (tmp_path / "go").touch()
        raise Parked

    begin(pool, "nothing")
    before, _ = begin(pool, "nothing")
    waiting = job("wait_for", str(tmp_path / "go"), str(tmp_path / "running"))
    refused = asyncio.create_task(pool.run(waiting, timeout=None, started=refuse))
    last, _ = begin(pool, "write_pid", str(tmp_path / "pid"))
    await asyncio.wait([refused])
    assert isinstance(refused.exception(), Parked)
    assert [(await each).outcome for each in (before, last)] == [Done()] * 2

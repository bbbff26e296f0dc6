"""A database file that is locked or taken away under a running worker. For SQLite only: it has no server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from signal import SIGTERM

import pytest

from asyncdq.drivers.sqlite_file import BUSY_TIMEOUT

from . import jobs
from .workers import Site, WorkerProcess, sqlite_only


def database(site: Site) -> Path:
    return site.folder / "queue.db"


def said_once(worker: WorkerProcess, text: str) -> bool:
    return len(worker.log_lines(text)) == 1


@sqlite_only
@pytest.mark.slow
async def test_a_locked_database_is_said_once_and_work_goes_on_afterwards(site: Site) -> None:
    worker = await site.start().ready()
    with closing(sqlite3.connect(database(site), isolation_level=None)) as other:
        (id,) = await site.enqueue([jobs.mark.using(delay=0.2).bind()])
        other.execute("begin immediate")
        await worker.says("connection lost", BUSY_TIMEOUT + 10)
        assert "another process held its write lock" in worker.log
        other.execute("rollback")
    await worker.says("connected again")
    await site.until(lambda: site.ledger.successes() == {id: 1})
    assert said_once(worker, "connection lost")
    assert said_once(worker, "connected again")


@sqlite_only
async def test_a_database_that_is_taken_away_is_said_once_and_used_again_when_it_is_back(site: Site) -> None:
    worker = await site.start("--task-defaults-visibility-timeout", "2").ready()
    (id,) = await site.enqueue([jobs.mark.using(delay=2).bind()])
    files = [path for path in site.folder.glob("queue.db*") if path.is_file()]
    away = site.folder / "away"
    away.mkdir()
    for path in files:
        path.rename(away / path.name)
    await worker.says("connection lost")
    assert f"{database(site)} is gone" in worker.log
    for path in files:
        (away / path.name).rename(path)
    await worker.says("connected again")
    await site.until(lambda: site.ledger.successes() == {id: 1})
    assert said_once(worker, "connection lost")


@sqlite_only
async def test_a_task_that_ends_while_the_database_is_away_is_written_when_it_is_back(site: Site) -> None:
    (id,) = await site.enqueue([jobs.hold.bind(site.gate)])
    worker = site.start("--task-defaults-visibility-timeout", "30")
    await site.until(lambda: site.ledger.starts(id))
    away = site.folder / "away.db"
    database(site).rename(away)
    site.open_gate()
    await worker.says("connection lost")
    away.rename(database(site))
    await worker.says("connected again")
    await site.wait_for_stats(ready=0, leased=0, dead=0)
    assert len(site.ledger.starts(id)) == 1


@sqlite_only
async def test_a_worker_without_its_database_still_ends_when_told_to(site: Site) -> None:
    worker = await site.start().ready()
    database(site).rename(site.folder / "away.db")
    await worker.says("connection lost")
    worker.signal(SIGTERM)
    assert await worker.exited() == 0


REFUSAL = """create trigger refusal before update on task_queue when new.queue = 'sick'
begin select raise(abort, 'not this one'); end"""


@sqlite_only
async def test_a_queue_that_is_refused_is_named_once_and_the_others_go_on(site: Site) -> None:
    worker = await site.start("-q", "sick,well,default").ready()
    with closing(sqlite3.connect(database(site), isolation_level=None)) as other:
        other.execute(REFUSAL)
        sick = await site.enqueue(jobs.mark.using(queue="sick").bind() for _ in range(3))
        well = await site.enqueue(jobs.mark.using(queue="well").bind() for _ in range(3))
        await site.until(lambda: site.ledger.successes() == dict.fromkeys(well, 1))
        await worker.says("the queue 'sick' is refused")
        other.execute("drop trigger refusal")
    await worker.says("the queue 'sick' is had again")
    await site.until(lambda: site.ledger.successes() == dict.fromkeys([*sick, *well], 1))
    assert said_once(worker, "is refused")
    assert "not this one" in worker.log


@sqlite_only
async def test_a_burst_does_not_leave_out_a_queue_that_is_refused(site: Site) -> None:
    await site.enqueue([jobs.mark.using(queue="sick").bind(), jobs.mark.using(queue="well").bind()])
    with closing(sqlite3.connect(database(site), isolation_level=None)) as other:
        other.execute(REFUSAL)
        worker = site.start("-q", "sick,well", "--burst")
        await site.until(lambda: not worker.alive)
    assert worker.code != 0
    assert "not this one" in worker.log

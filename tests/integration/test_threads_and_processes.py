"""Enqueueing from inside tasks, wherever they run: always through the worker that runs them."""

from __future__ import annotations

import asyncio

import pytest

from asyncdq import Task

from . import jobs
from .workers import Site, sqlite_only


@sqlite_only
@pytest.mark.parametrize(
    ("task", "said"),
    [
        (jobs.enqueue_in_thread, "from a thread"),
        (jobs.enqueue_in_process, "from a process"),
        (jobs.enqueue_in_process_loop, "from the loop of a process"),
    ],
    ids=["thread", "process", "loop of a process"],
)
async def test_a_task_enqueues_through_its_worker(task: Task[[], object, None], said: str, site: Site) -> None:
    site.environment["ASYNCDQ_URL"] = "sqlite:///nowhere/at/all.db"  # what a default client would use
    await site.enqueue([task.bind()])
    worker = site.start("--burst", "--url", site.url)
    assert await worker.exited() == 0
    assert [entry.said for entry in site.ledger.starts()] == ["", said]


async def test_a_coroutine_enqueues_through_its_worker(site: Site) -> None:
    await site.enqueue([jobs.enqueue.bind(3)])
    await site.burst()
    assert len(site.ledger.successes()) == 3


@sqlite_only
async def test_enqueue_sync_in_a_coroutine_task_fails_with_the_way_out_and_does_not_hang(site: Site) -> None:
    (id,) = await site.enqueue([jobs.enqueue_sync_in_loop.using(max_attempts=1).bind()])
    await site.burst()
    assert "use `await task.enqueue(...)` here" in (await site.dead())[id].error


async def test_many_threads_enqueue_at_once(site: Site) -> None:
    await site.enqueue(jobs.enqueue_in_thread.bind() for _ in range(100))
    await site.burst(concurrency=20)
    assert len(site.ledger.successes()) == 200


async def test_threads_of_the_program_enqueue_while_a_worker_runs_in_its_loop(site: Site) -> None:
    async with site.working():
        bound = jobs.mark.using(client=site.client)
        await asyncio.gather(*(asyncio.to_thread(bound.enqueue_sync, str(n)) for n in range(50)))
        await site.until(lambda: len(site.ledger.successes()) == 50)


@sqlite_only
async def test_a_task_called_as_a_function_enqueues_nothing(site: Site) -> None:
    assert await site.script("from tests.integration.jobs import speak\nspeak()") == (0, "from the process\n", "")
    assert (await site.stats()).ready == 0

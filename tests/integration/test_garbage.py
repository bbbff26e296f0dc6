"""What a task leaves is freed when it ends: a ring of objects would lie until a collection, which stops all tasks."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest

from asyncdq import Client, Task, Worker, task

TASKS = 100


@task(name="garbage.quick")
async def quick() -> None: ...


@task(name="garbage.waiting")
async def waiting() -> None:
    await asyncio.sleep(0.001)  # it is the task


@task(name="garbage.limited", timeout=30)
async def limited() -> None:
    await asyncio.sleep(0.001)  # it is the task


@task(name="garbage.failing", max_attempts=1)
async def failing() -> None:
    raise ValueError


@task(name="garbage.late", max_attempts=1, timeout=0.01)
async def late() -> None:
    await asyncio.Event().wait()


@task(name="garbage.threaded")
def threaded() -> None: ...


@task(name="garbage.failing_thread", max_attempts=1)
def failing_thread() -> None:
    raise ValueError


@task(name="garbage.separate", process=True)
def separate() -> None: ...


@task(name="garbage.slow", process=True)
def slow() -> None:
    time.sleep(0.05)  # it is the task


@pytest.mark.parametrize("one", [quick, waiting, limited, failing, late, threaded, failing_thread, separate])
async def test_a_task_leaves_no_rings(one: Task[..., Any, Any]) -> None:
    # A worker leaves some, and some more for each thread that it had; each task left eleven.
    assert await rings(one, TASKS, concurrency=10) < 5 * TASKS


async def test_a_task_that_waits_too_long_for_a_process_leaves_no_rings() -> None:
    # Those that have not begun after a second are given back: about twenty, and each left 26.
    assert await rings(slow, 40, concurrency=40) < 200


async def rings(one: Task[..., Any, Any], count: int, concurrency: int) -> int:
    """How many objects only a collection frees, when a worker has ended that ran so many of these tasks."""
    async with Client("sqlite://:memory:") as client:

        async def work(count: int) -> None:
            await client.enqueue_many([one.bind() for _ in range(count)])
            worker = Worker(client.driver, burst=True, process_pool_size=1, concurrency=concurrency)
            await worker.start(handle_signals=False)

        await work(1)
        gc.collect()
        gc.disable()
        try:
            await work(count)
            return gc.collect()
        finally:
            gc.enable()

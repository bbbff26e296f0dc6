"""A loop that runs new tasks at once, as with `asyncio.eager_task_factory` from Python 3.12 on, is one like others."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

from asyncdq import Client, Worker, task
from asyncdq.soon import start_soon

ran: list[int] = []


@task
async def note(number: int) -> None:
    ran.append(number)


place: ContextVar[str] = ContextVar("place")


def plain(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Future[Any]:
    return asyncio.Task(coroutine, loop=loop)


@pytest.mark.parametrize("factory", [None, plain])
async def test_a_task_is_noted_down_before_it_does_anything(factory: Any) -> None:
    began: list[str] = []

    async def work() -> str:
        began.append(place.get())
        return "done"

    asyncio.get_running_loop().set_task_factory(factory)
    context = copy_context()
    context.run(place.set, "elsewhere")
    started = start_soon(work(), name="ours", context=context)
    assert (started.get_name(), began) == ("ours", [])
    assert (await started, began) == ("done", ["elsewhere"])


@pytest.mark.parametrize("factory", [None, plain])
async def test_a_task_that_is_cancelled_before_it_began_does_nothing(factory: Any) -> None:
    async def work() -> None:
        raise AssertionError

    asyncio.get_running_loop().set_task_factory(factory)
    started = start_soon(work())
    started.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 begins no task at once")
async def test_tasks_are_enqueued_and_run_where_tasks_begin_at_once(tmp_path: Path) -> None:
    ran.clear()
    asyncio.get_running_loop().set_task_factory(vars(asyncio)["eager_task_factory"])
    async with asyncio.timeout(30), Client(f"sqlite://{tmp_path}/queue.db") as client:
        await note.enqueue(0)
        await asyncio.gather(*(note.enqueue(number) for number in range(1, 2_000)))
        await Worker(queue_driver=client.driver, burst=True, concurrency=1_000).start()
    assert sorted(ran) == list(range(2_000))

"""Starting a task in the next turn of the event loop, and never before. Imports nothing of asyncdq."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def start_soon(
    coroutine: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[T]:
    """Run it as a task of the running event loop, not before its next turn.

    So whoever starts a task has noted it down before it does anything. A loop with a task factory may run it at once,
    as with `asyncio.eager_task_factory`; then it begins with a pause.
    """
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        return loop.create_task(coroutine, name=name, context=context)
    start = partial(loop.create_task, _after_a_pause(coroutine), name=name)
    task = start() if context is None else context.run(start)  # not every factory takes a context
    task.add_done_callback(lambda _: coroutine.close())  # it may have been cancelled before it began
    return task


async def _after_a_pause(coroutine: Coroutine[Any, Any, T]) -> T:
    await asyncio.sleep(0)
    return await coroutine

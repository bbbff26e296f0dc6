"""Starting a task in the next turn of the event loop, and never before. Imports nothing of asyncdq."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def start_soon(
    coroutine: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[T]:
    """Run it as a task of the running event loop, from its next turn on.

    Whoever starts a task notes it down before it does anything. A loop with a task factory may run it at once, as
    `asyncio.eager_task_factory` does; such a factory is not asked.
    """
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        return loop.create_task(coroutine, name=name, context=context)
    return asyncio.Task(coroutine, loop=loop, name=name, context=context)

"""Calls that run to their end once begun, whatever happens to who waits for them (rule 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..soon import start_soon

T = TypeVar("T")


class Calls:
    """What a driver has under way. Belongs to one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """The call, begun."""
        task = start_soon(call)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def run(self, call: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """The call, begun; who cancels this future does not cancel the call."""
        return asyncio.shield(self.start(call))

    async def ended(self) -> None:
        """Return when nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a caller that gave up does not ask for it, and wants no log line about it

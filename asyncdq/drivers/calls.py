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
        """The call, begun; who cancels this future does not cancel the call.

        As asyncio.shield, but who waits hears of the end in the next turn of the event loop, not in the one after it.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def over(_: asyncio.Task[None]) -> None:
            call.close()  # asyncio.run may have cancelled it before it began; else this does nothing
            answer.cancel()

        self.start(_tell(call, answer)).add_done_callback(over)
        return answer

    async def ended(self) -> None:
        """Return when nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a caller that gave up does not ask for it, and wants no log line about it


async def _tell(call: Coroutine[Any, Any, T], answer: asyncio.Future[T]) -> None:
    try:
        result = await call
    except Exception as error:
        if not answer.done():  # else its caller was cancelled
            answer.set_exception(error)
    else:
        if not answer.done():
            answer.set_result(result)
    finally:
        del answer  # an error's traceback holds this frame: a ring

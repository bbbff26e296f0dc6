"""Waiting in one thread for what the event loop of another one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from .errors import TaskError

T = TypeVar("T")

BLOCKED = 10.0
"""Seconds for which an event loop may do nothing at all before a thread no longer waits for it."""


def result_of(call: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop) -> T:
    """What the call returns on this event loop, which runs in another thread; blocks. Raises what the call raises.

    Raises TaskError if the loop stops, or has not even begun the call after BLOCKED seconds: then it never will be.
    """
    turn = [call]  # whoever takes it decides whether the call is made

    async def begin() -> T:
        return await turn.pop()()

    future = asyncio.run_coroutine_threadsafe(begin(), loop)
    while True:
        try:
            return future.result(BLOCKED)
        except TimeoutError:
            if future.done():
                raise  # it is the call's own
        if not loop.is_running():
            raise TaskError("the event loop of this client has stopped: it is not known whether the call was stored")
        with suppress(IndexError):  # it has begun
            turn.pop()
            future.cancel()
            raise TaskError(
                f"the event loop of this client has been blocked for {BLOCKED:g} s, and nothing was stored: it must "
                "not wait for a thread that enqueues; `await asyncio.to_thread(...)` does not block it"
            )

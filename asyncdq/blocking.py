"""Waiting in one thread for what the event loop of another one does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from .errors import TaskError

T = TypeVar("T")


def result_of(
    call: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop, patience: float | None = None
) -> T:
    """What the call returns on this event loop, which runs in another thread; blocks. Raises what the call raises.

    Raises TaskError if the loop stops, or does nothing at all for `patience` seconds: it may wait for this very thread.
    A call that it has not begun by then never will be.
    """
    turn = [call]  # whoever takes it decides whether the call is made

    async def begin() -> T:
        return await turn.pop()()

    future = asyncio.run_coroutine_threadsafe(begin(), loop)
    while True:
        try:
            return future.result(patience)
        except CancelledError:
            raise TaskError(
                "the event loop of this client ended: it is not known whether the call was stored"
            ) from None
        except TimeoutError:
            if future.done():
                return future.result()  # it has ended in this moment, or the error is its own
        if not loop.is_running():
            raise TaskError("the event loop of this client stopped: it is not known whether the call was stored")
        if _take(turn):
            future.cancel()
            raise _blocked(patience, "nothing was stored")
        if not _answers(loop, patience):
            raise _blocked(patience, "it is not known whether the call was stored")


def _take(turn: list[Any]) -> bool:
    """Whether the call had not begun; now it never will."""
    try:
        turn.pop()
    except IndexError:
        return False
    return True


def _answers(loop: asyncio.AbstractEventLoop, patience: float | None) -> bool:
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)
    return answered.wait(patience)


def _blocked(patience: float | None, stored: str) -> TaskError:
    return TaskError(
        f"the event loop of this client has been blocked for {patience:g} s, and {stored}: it must not wait for a "
        "thread that enqueues; `await asyncio.to_thread(...)` does not block it"
    )

"""Names the task that blocks the event loop, from a thread of its own."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType

from .log import log

NameOf = Callable[[asyncio.Task[object]], str | None]


class Watchdog:
    """Warns when the event loop has not turned for `patience` seconds: nothing is renewed meanwhile."""

    def __init__(self, patience: float, name_of: NameOf) -> None:
        """`name_of` tells which of our tasks an asyncio task runs, or None."""
        self._patience = patience
        self._name_of = name_of
        self._loop = asyncio.get_running_loop()
        self._answered = 0  # the last question to the loop that it has come to
        self._closed = threading.Event()
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="asyncdq-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def _watch(self) -> None:
        asked = 0
        while not self._closed.is_set():
            asked += 1
            try:
                self._loop.call_soon_threadsafe(self._answer, asked)
            except RuntimeError:
                return  # it is closed
            warned = False
            while not self._closed.wait(self._patience) and self._answered < asked:
                if self._loop.is_closed():
                    return
                if not warned:
                    self._warn()
                    warned = True

    def _answer(self, number: int) -> None:
        self._answered = number

    def _warn(self) -> None:
        job = asyncio.current_task(self._loop)
        name = None if job is None else self._name_of(job)
        frames: dict[int, FrameType] = vars(sys)["_current_frames"]()  # public and documented, in spite of its name
        frame = frames.get(self._loop_thread)
        place = "".join(traceback.format_stack(frame, limit=8)) if frame is not None else ""
        log.error(
            "%s has blocked the event loop for more than %.1f s: no lease is renewed meanwhile. Write it as a plain "
            "function (it then runs in a thread), or with process=True\n%s",
            name or "something outside our tasks",
            self._patience,
            place,
            extra={"event": "loop_blocked", "task": name},
        )

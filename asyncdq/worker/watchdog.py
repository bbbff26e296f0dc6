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


class Patience:
    """Seconds for which the event loop may stand still: it sets them, and the thread that watches it hears of that."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._stirred = threading.Event()

    def shorten(self, seconds: float) -> None:
        """From now on so many, if that is less."""
        if seconds < self.seconds:
            self.seconds = seconds
            self.stir()

    def stir(self) -> None:
        """End the wait that is under way."""
        self._stirred.set()

    def wait(self) -> bool:
        """Whether all of it has passed."""
        stirred = self._stirred.wait(self.seconds)
        self._stirred.clear()
        return not stirred


class Watchdog:
    """Warns when the event loop has not turned for as long as there is patience: nothing is renewed meanwhile."""

    def __init__(self, patience: Patience, name_of: NameOf) -> None:
        """`name_of` tells which of our tasks an asyncio task runs, or None."""
        self._patience = patience
        self._name_of = name_of
        self._loop = asyncio.get_running_loop()
        self._answered = 0  # the last question to the loop that it has come to
        self._closed = False
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="asyncdq-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._patience.stir()

    def _watch(self) -> None:
        asked = 0
        while not self._closed:
            asked += 1
            try:
                self._loop.call_soon_threadsafe(self._answer, asked)
            except RuntimeError:
                return  # it is closed
            self._await(asked)

    def _await(self, asked: int) -> None:
        warned = False
        while not self._closed:
            over = self._patience.wait()
            if self._answered >= asked or self._loop.is_closed():
                return
            if over and not warned:
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
            self._patience.seconds,
            place,
            extra={"event": "loop_blocked", "task": name},
        )

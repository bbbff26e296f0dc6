"""Emitters that need no server: a function of yours, and the log."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import final

from .types import Event
from .wire import facts, line

_log = logging.getLogger("asyncdq.events")

Listener = Callable[[Event], Awaitable[None] | None]


@final
class InProcessEmitter:
    """Calls a function with each event, and awaits it if it is a coroutine function.

    The function runs in the event loop of the work and must not block. It has 5 seconds for each event. If it
    raises, the next event comes all the same: the first error is logged, `failed` counts them.
    """

    def __init__(self, listener: Listener) -> None:
        self.failed = 0
        self._listener = listener

    async def emit(self, events: Sequence[Event]) -> None:
        """Call the function with one event after another."""
        for event in events:
            if (waiting := self.tell(event)) is not None:
                await waiting

    def tell(self, event: Event) -> Awaitable[None] | None:
        """Call the function with this event; what is returned, if anything, is still to be awaited."""
        try:
            waiting = self._listener(event)
        except Exception as error:  # the listener's own business, not the work's
            self._fail(event, error)
            return None
        return None if waiting is None or not inspect.isawaitable(waiting) else self._finish(event, waiting)

    async def _finish(self, event: Event, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except asyncio.CancelledError as error:  # of something that it awaited, unless the flush itself is to end
            if (flush := asyncio.current_task()) is not None and flush.cancelling():
                raise
            self._fail(event, error)
        except Exception as error:  # the same
            self._fail(event, error)

    def _fail(self, event: Event, error: BaseException) -> None:
        self.failed += 1
        if self.failed == 1:
            _log.error("a listener failed on %s; it is not said again", event.event, exc_info=error)

    async def close(self) -> None:
        """Nothing is held."""


class LoggingEmitter:
    """Writes each event to a logger: one line, with the fields of the event as `extra`."""

    def __init__(self, logger: logging.Logger | str = "asyncdq.events", *, level: int = logging.INFO) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level

    async def emit(self, events: Sequence[Event]) -> None:
        """Log them."""
        if self._logger.isEnabledFor(self._level):
            for event in events:
                self._logger.log(self._level, "%s", line(event), extra=facts(event))

    async def close(self) -> None:
        """Nothing is held."""

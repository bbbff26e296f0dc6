"""Emitters that need no server: a function of yours, and the log."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence

from .types import Event
from .wire import facts, line

_log = logging.getLogger("asyncdq.events")

Listener = Callable[[Event], Awaitable[None] | None]


class InProcessEmitter:
    """Calls a function with each event, and awaits it if it is a coroutine function.

    The function runs in the event loop of the work and must not block. If it raises, the next event comes all
    the same: the first error is logged, `failed` counts them.
    """

    def __init__(self, listener: Listener) -> None:
        self.failed = 0
        self._listener = listener

    async def emit(self, events: Sequence[Event]) -> None:
        """Call the function with one event after another."""
        for event in events:
            try:
                waiting = self._listener(event)
                if inspect.isawaitable(waiting):
                    await waiting
            except Exception as error:  # the listener's own business, not the work's
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

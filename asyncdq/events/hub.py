"""Where the core hands its events over: each emitter has a buffer of its own, so that none can hold up another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ConfigurationError
from ..message import Call, Message
from .base import Emitter
from .outlet import CAPACITY, Outlet
from .types import Event, TaskEnqueued

LAST_EVENTS = 2.0  # seconds that the last events get when a client or worker closes


class Hub:
    """Hands each event to all emitters. Never waits and never raises because of them.

    `worker_id` is whose events these are; None for a client outside any worker. Belongs to the event loop that
    emits. Raises ConfigurationError for something that is no emitter.
    """

    def __init__(self, emitters: Iterable[Emitter], worker_id: str | None = None, *, capacity: int = CAPACITY) -> None:
        self.worker_id = worker_id
        self._outlets = [Outlet(_checked(emitter), capacity) for emitter in emitters]

    @classmethod
    def of(cls, emitters: Iterable[Emitter], worker_id: str | None = None) -> Hub | None:
        """A hub, or None if there is no emitter: then nobody builds an event."""
        found = list(emitters)
        return cls(found, worker_id) if found else None

    @property
    def dropped(self) -> int:
        """How many events have not been emitted, because an emitter was away, too slow or failed."""
        return sum(outlet.dropped for outlet in self._outlets)

    def emit(self, event: Event) -> None:
        """Hand over one event; returns at once."""
        for outlet in self._outlets:
            outlet.put(event)

    def enqueued(self, calls: Sequence[Call[Any]], messages: Sequence[Message], created: Sequence[bool]) -> None:
        """Tell what was stored; an id that was known already stored nothing."""
        for call, message, new in zip(calls, messages, created, strict=True):
            if new:
                self.emit(
                    TaskEnqueued(
                        worker_id=self.worker_id,
                        task_id=message.id,
                        task=call.name,
                        queue=message.queue,
                        attempt=0,
                        max_attempts=call.options.max_attempts,
                    )
                )

    async def close(self) -> None:
        """Emit what waits, within 2 seconds, and close the emitters. Later events open them again."""
        await asyncio.gather(*(outlet.close(LAST_EVENTS) for outlet in self._outlets))


def _checked(emitter: Emitter) -> Emitter:
    if isinstance(emitter, type) or not all(callable(getattr(emitter, name, None)) for name in ("emit", "close")):
        raise ConfigurationError(
            f"emitters: {emitter!r} is no emitter: it needs `async def emit(events)` and `async def close()`; "
            "a function goes into InProcessEmitter(function)"
        )
    return emitter

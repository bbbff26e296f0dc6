"""Lifecycle events: what happens to tasks and workers, told to whoever wants to know. See docs/events.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MissingExtra
from .base import Emitter
from .hub import Hub
from .local import InProcessEmitter, LoggingEmitter
from .types import (
    Event,
    TaskCancelled,
    TaskCompleted,
    TaskEnqueued,
    TaskError,
    TaskEvent,
    TaskFailed,
    TaskLeaseLost,
    TaskRetrying,
    TaskStarted,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
)
from .wire import CHANNEL

if TYPE_CHECKING:
    from .redis import RedisEmitter
    from .subscriber import EventSubscriber

__all__ = [
    "CHANNEL",
    "Emitter",
    "Event",
    "EventSubscriber",
    "Hub",
    "InProcessEmitter",
    "LoggingEmitter",
    "RedisEmitter",
    "TaskCancelled",
    "TaskCompleted",
    "TaskEnqueued",
    "TaskError",
    "TaskEvent",
    "TaskFailed",
    "TaskLeaseLost",
    "TaskRetrying",
    "TaskStarted",
    "WorkerHeartbeat",
    "WorkerOffline",
    "WorkerOnline",
]


def __getattr__(name: str) -> object:
    """The two that need the client library of Redis, imported when they are asked for."""
    if name not in ("EventSubscriber", "RedisEmitter"):
        raise AttributeError(f"module 'asyncdq.events' has no attribute {name!r}")
    try:
        if name == "RedisEmitter":
            from .redis import RedisEmitter

            return RedisEmitter
        from .subscriber import EventSubscriber

        return EventSubscriber
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "asyncdq":
            raise
        raise MissingExtra("events on Redis", "redis") from error

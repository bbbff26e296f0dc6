"""What the running task can know about itself."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """The task that is running here.

    `attempt` is 1 at the first execution. `enqueued_at` is the producer's clock, with UTC as its zone;
    None if the producer did not say.
    """

    id: str
    name: str
    queue: str
    attempt: int
    max_attempts: int
    enqueued_at: datetime | None


running: ContextVar[CurrentTask] = ContextVar("asyncdq.running")


def current_task() -> CurrentTask:
    """The task that is running here: in its coroutine, its thread or its process. Elsewhere a LookupError."""
    try:
        return running.get()
    except LookupError:
        raise LookupError("current_task(): no task is running here; call it from inside a task") from None

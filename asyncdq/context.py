"""What the running task can know about itself, and through whom it enqueues."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

from .message import Call, Enqueued
from .value import value


@value
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


class Sender(Protocol):
    """Takes calls to the queue: a client, or the end of the pipe in a process of the pool."""

    async def send(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        """Store all calls. Raises what `Client.enqueue_many` raises."""
        ...

    def send_sync(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        """The same for code outside an event loop; blocks until all are stored."""
        ...


running: ContextVar[Callable[[], CurrentTask]] = ContextVar("asyncdq.running")  # asked by few tasks, so made for those
sender: ContextVar[Sender] = ContextVar("asyncdq.sender")  # set while a task runs: its worker's client
shared: list[Sender] = []
"""The clients that this process has opened, the last one last: for code that no context reaches, as in a thread."""
of_workers: list[Sender] = []
"""The same of its workers, or of the job that runs in a process of the pool: where there is no other one."""

os.register_at_fork(after_in_child=shared.clear)  # their event loops are the parent's
os.register_at_fork(after_in_child=of_workers.clear)


def current_task() -> CurrentTask:
    """The task that is running here: in its coroutine, its thread or its process. Elsewhere a LookupError."""
    try:
        current = running.get()
    except LookupError:
        raise LookupError("current_task(): no task is running here; call it from inside a task") from None
    return current()

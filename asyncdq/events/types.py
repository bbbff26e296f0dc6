"""What happens to tasks and workers, as values. docs/events.md describes each of them.

The fields are the ones that travel; a new field may join later, none changes its meaning.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar, TypeVar

from ..names import new_id

Told = TypeVar("Told", bound="TaskEvent")

MESSAGE_LIMIT = 1024
"""Bytes of an error's message."""


# Not a new_id() each: that takes as long as all the rest of an event.
_process = new_id()
_numbers = count(1)


def _forked() -> None:
    global _process
    _process = new_id()


def _next_id() -> str:
    return f"{_process}-{next(_numbers)}"


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)


# Not frozen, though nobody may change one: that doubles what it costs to make, twice per task.
@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Event:
    """Something that happened: `id` is its own, `at` is in unix seconds by the clock of who saw it."""

    event: ClassVar[str] = ""

    worker_id: str | None = None
    id: str = field(default_factory=_next_id)
    at: float = field(default_factory=time.time)


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskEvent(Event):
    """About one task. `task` is `?` if the name could not be read; `max_attempts` is None where it is not known."""

    task_id: str
    task: str
    queue: str
    attempt: int
    max_attempts: int | None


@dataclass(frozen=True, slots=True)
class TaskError:
    """An error: the name of its class, empty if nothing was raised, and what it says, up to 1 kB."""

    type: str
    message: str


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskEnqueued(TaskEvent):
    """A client has stored it. `attempt` is 0, `max_attempts` what the call says; `worker_id` if a task enqueued it."""

    event: ClassVar[str] = "task_enqueued"


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskStarted(TaskEvent):
    """An attempt begins."""

    event: ClassVar[str] = "task_started"


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskCompleted(TaskEvent):
    """It has ended well, and that is written. `duration` is in seconds."""

    event: ClassVar[str] = "task_completed"

    duration: float


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskRetrying(TaskEvent):
    """It will run again after `delay` seconds. `counted`: it failed; else it was snoozed or interrupted."""

    event: ClassVar[str] = "task_retrying"

    duration: float
    error: TaskError | None
    delay: float
    counted: bool


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskFailed(TaskEvent):
    """It is a dead letter now, for `reason`."""

    event: ClassVar[str] = "task_failed"

    duration: float
    error: TaskError | None
    reason: str


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskCancelled(TaskEvent):
    """An operator stopped it. Nothing emits it yet: there is no such command."""

    event: ClassVar[str] = "task_cancelled"


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class TaskLeaseLost(TaskEvent):
    """This worker's lease on it is gone: what it did counts for nothing, another one may run it."""

    event: ClassVar[str] = "task_lease_lost"


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class WorkerOnline(Event):
    """A worker is ready to claim tasks."""

    event: ClassVar[str] = "worker_online"


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class WorkerHeartbeat(Event):
    """A worker is alive: every `heartbeat_interval`."""

    event: ClassVar[str] = "worker_heartbeat"


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class WorkerOffline(Event):
    """A worker has ended in order. One that was killed says nothing."""

    event: ClassVar[str] = "worker_offline"


TYPES: Mapping[str, type[Event]] = {
    kind.event: kind
    for kind in (
        TaskEnqueued,
        TaskStarted,
        TaskCompleted,
        TaskRetrying,
        TaskFailed,
        TaskCancelled,
        TaskLeaseLost,
        WorkerOnline,
        WorkerHeartbeat,
        WorkerOffline,
    )
}
"""Every kind of event, by its name."""


def about(
    kind: type[Told], worker_id: str | None, task_id: str, task: str, queue: str, attempt: int, max_attempts: int | None
) -> Told:
    """An event of this kind, to which the caller adds the fields that only this kind has.

    A worker makes two of them per task, and calling a class with keywords takes more than twice as long.
    """
    event = object.__new__(kind)
    event.worker_id = worker_id
    event.id = _next_id()
    event.at = time.time()
    event.task_id = task_id
    event.task = task
    event.queue = queue
    event.attempt = attempt
    event.max_attempts = max_attempts
    return event


def task_error(line: str) -> TaskError | None:
    """The error of which this is the one line, `ValueError: what it says`; None for an empty line."""
    name, _, message = line.partition(": ")
    if " " in name:  # a sentence of ours: nothing was raised
        name, message = "", line
    short = message.encode(errors="replace")[:MESSAGE_LIMIT].decode(errors="ignore")
    return TaskError(name, short) if line else None

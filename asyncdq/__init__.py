"""asyncdq: a task queue that loses nothing, on the infrastructure you already have.

from asyncdq import task

@task
async def greet(name: str) -> None: ...

await greet.enqueue("world")          # from anywhere
asyncdq worker app.tasks              # runs it
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .client import Client
from .context import CurrentTask, current_task
from .errors import AsyncdqError
from .message import Call, Enqueued
from .retry import RetryPolicy
from .signals import Reject, Retry, Snooze
from .task import Task
from .tasks import task

if TYPE_CHECKING:
    from .events import EventSubscriber
    from .settings import Settings
    from .worker import Worker

__version__ = "0.1.0"

__all__ = [
    "AsyncdqError",
    "Call",
    "Client",
    "CurrentTask",
    "Enqueued",
    "EventSubscriber",
    "Reject",
    "Retry",
    "RetryPolicy",
    "Settings",
    "Snooze",
    "Task",
    "Worker",
    "__version__",
    "current_task",
    "task",
]

_LAZY = {  # heavy: a producer needs none of them
    "EventSubscriber": "asyncdq.events",
    "Settings": "asyncdq.settings",
    "Worker": "asyncdq.worker",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'asyncdq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

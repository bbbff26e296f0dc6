"""What the worker hands to a process of the pool, and what comes back. Both cross a pipe, so both pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..context import CurrentTask
from ..message import Outcome
from ..retry import RetryPolicy
from ..value import value


@dataclass(frozen=True, slots=True)
class Job:
    """One execution of a process task.

    `module` and `qualname` say where the task stands. `args` and `kwargs` are as the serializer read
    them: the process fits them to the annotations, and there `policy` turns an error into an outcome.
    """

    module: str
    qualname: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    current: CurrentTask
    policy: RetryPolicy
    roll: float


@value
class Verdict:
    """How an execution ended. `error` is one line, empty after a success; `duration` is in seconds."""

    outcome: Outcome
    error: str = ""
    duration: float = 0.0

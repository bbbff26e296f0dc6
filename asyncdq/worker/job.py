"""What the worker hands to a process of the pool, and what comes back, each as it crosses the pipe.

Both are small, and pickle takes its time with many small parts: a job that pickles flat, its policy pickled before,
takes a quarter of it, and a task that has returned needs no pickle at all. That is time of the cores of the tasks.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ..context import CurrentTask
from ..message import Done, Outcome
from ..retry import RetryPolicy
from ..value import value
from .pipe import Frame, Kind

_SECONDS = struct.Struct("!d")
_DONE = Done()

MOST_KNOWN = 128  # policies: calls may ask for delays of their own
_known: dict[bytes, RetryPolicy] = {}


@value
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

    def __reduce__(self) -> tuple[Any, ...]:
        current, when = self.current, self.current.enqueued_at
        about = (current.id, current.name, current.queue, current.attempt, current.max_attempts)
        enqueued_at = None if when is None else when.timestamp()
        parts = (
            self.module,
            self.qualname,
            self.args,
            self.kwargs,
            about,
            enqueued_at,
            _packed(self.policy),
            self.roll,
        )
        return _job_of, parts


@value
class Verdict:
    """How an execution ended. `error` is one line, empty after a success; `duration` is in seconds.

    `traceback` is for the log, where there is one and its turn (see tracebacks.py).
    """

    outcome: Outcome
    error: str = ""
    duration: float = 0.0
    traceback: str = ""

    def frame(self) -> Frame:
        """What a process says at the end of a job."""
        if isinstance(self.outcome, Done):
            return Frame(Kind.DONE, _SECONDS.pack(self.duration))
        return Frame(Kind.VERDICT, pickle.dumps(self))

    @classmethod
    def of(cls, frame: Frame) -> Verdict:
        """What such a frame says."""
        if frame.kind is Kind.DONE:
            return cls(_DONE, duration=_SECONDS.unpack(frame.body)[0])
        verdict: Verdict = frame.read()
        return verdict


def _job_of(
    module: str,
    qualname: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    about: tuple[str, str, str, int, int],
    enqueued_at: float | None,
    policy: bytes,
    roll: float,
) -> Job:
    when = None if enqueued_at is None else datetime.fromtimestamp(enqueued_at, UTC)
    return Job(module, qualname, args, kwargs, CurrentTask(*about, when), _unpacked(policy), roll)


def _packed(policy: RetryPolicy) -> bytes:
    return _packed_once(policy) if _is_lasting(policy) else pickle.dumps(policy)


@lru_cache
def _packed_once(policy: RetryPolicy) -> bytes:
    return pickle.dumps(policy)


def _unpacked(packed: bytes) -> RetryPolicy:
    if (known := _known.get(packed)) is not None:
        return known
    policy: RetryPolicy = pickle.loads(packed)
    if _is_lasting(policy):
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[packed] = policy
    return policy


def _is_lasting(policy: RetryPolicy) -> bool:
    """Whether it names only errors that are built in: those of a module may be loaded anew, or compare as they like."""
    return all(kind.__module__ == "builtins" for kind in (*policy.retry_on, *policy.give_up_on))

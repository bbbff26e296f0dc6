"""The kinds of calls in a small world, and the end of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from asyncdq import Task

from . import tasks
from .dice import pick, roll

DONE, ATTEMPTS, LOST = frozenset({"done"}), frozenset({"attempts"}), frozenset({"lost"})
REJECTED, NOT_RETRIED = frozenset({"rejected"}), frozenset({"not_retried"})
SECONDS = (0.001, 0.3, 2.0, 7.0, 30.0)
SHORT = (0.001, 0.3, 2.0, 7.0, 15.0)  # still longer than the leases, and than most freezes


class Kind(NamedTuple):
    """A call, and its end."""

    task: Task[..., Any, Any]
    args: tuple[Any, ...] = ()
    ends: frozenset[str] = DONE
    timeout: float | None = None
    seconds: float = 0.0  # that it runs unless it is ended
    stubborn: bool = False


def _sleeping(task: Task[..., Any, Any], seconds: float) -> Kind:
    return Kind(task, (seconds,), seconds=seconds)


def _timed(task: Task[..., Any, Any], seconds: float, ends: frozenset[str]) -> Kind:
    return Kind(task, (seconds,), ends, timeout=2.0, stubborn=task is tasks.threaded)


def killer_kind(seconds: float) -> Kind:
    """It ends its worker."""
    return Kind(tasks.killer, (seconds,), LOST, seconds=seconds)


Kinds = list[Callable[[int], Kind]]

KINDS: Kinds = [
    *[lambda most: Kind(tasks.plain)] * 3,
    *[lambda most: _sleeping(tasks.plain, pick(SECONDS))] * 6,
    *[lambda most: Kind(tasks.failing, (pick(range(1, most)), pick((0.0, 0.5))))] * 3,
    lambda most: Kind(tasks.failing, (9, 0.0), ATTEMPTS),
    *[lambda most: Kind(tasks.snoozing, (pick(range(1, 4)), pick((0.0, 0.2, 3.0))))] * 2,
    lambda most: Kind(tasks.retrying, (pick((0.0, 2.0)),), ATTEMPTS),
    lambda most: Kind(tasks.rejecting, (), REJECTED),
    lambda most: Kind(tasks.picky, (), NOT_RETRIED),
    lambda most: Kind(tasks.despairing, (), REJECTED),
    lambda most: Kind(tasks.endless, (), ATTEMPTS),
    lambda most: Kind(tasks.stubborn, (pick((3.0, 7.0, 14.0)),), stubborn=True),
    lambda most: Kind(tasks.exiting, (), ATTEMPTS),
    lambda most: Kind(tasks.parent, ("child",)),
    *[lambda most: Kind(tasks.threaded, (pick(SECONDS), pick(range(most))), stubborn=True)] * 2,
    lambda most: _timed(tasks.threaded, pick((0.3, 4.0)), DONE),
    *[lambda most: _sleeping(tasks.separate, pick(SECONDS))] * 2,
    lambda most: Kind(tasks.separate, (0.3, pick(range(most)))),
    lambda most: _timed(tasks.separate, 4.0, ATTEMPTS),
    lambda most: Kind(tasks.dying, (pick((0.0, 1.0)),), ATTEMPTS),
]


# For tiny worlds: what is over soon, or worth its time. Without a client no task can enqueue; and to write down
# tracebacks takes as long as all the rest, so what ends as a dead letter does so by a word of its own here.
TINY_KINDS: Kinds = [
    *[lambda most: Kind(tasks.plain)] * 4,
    *[lambda most: _sleeping(tasks.plain, pick(SHORT))] * 10,
    lambda most: Kind(tasks.failing, (pick(range(1, most)), pick((0.0, 0.5)))),
    lambda most: Kind(tasks.snoozing, (1, pick((0.0, 0.2, 3.0)))),
    lambda most: Kind(tasks.retrying, (pick((0.0, 2.0)),), ATTEMPTS),
    lambda most: Kind(tasks.rejecting, (), REJECTED),
    lambda most: Kind(tasks.endless, (), ATTEMPTS),
    lambda most: Kind(tasks.stubborn, (pick((3.0, 7.0)),), stubborn=True),
    lambda most: Kind(tasks.threaded, (pick(SHORT), pick(range(most))), stubborn=True),
    lambda most: _timed(tasks.threaded, pick((0.3, 4.0)), DONE),
    lambda most: _timed(tasks.separate, 4.0, ATTEMPTS) if roll() < 0.3 else _sleeping(tasks.separate, pick(SHORT)),
]

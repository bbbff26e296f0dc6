"""What a worker was started for: to work without end, until nothing is left (a burst), or for so many tasks."""

from __future__ import annotations

import math


class Goal:
    """Counts tasks, and knows whether the queues were found empty. Times are those of the event loop."""

    def __init__(self, burst: bool, max_tasks: int | None) -> None:
        self._burst = burst
        self._max_tasks = max_tasks
        self._counted = 0  # tasks that were executed, or are to be
        self._changes = 0
        self._empty = False
        self._due = 0.0  # when all that was given back is ready again

    def count(self) -> None:
        """A task is to be executed."""
        self._counted += 1

    def uncount(self) -> None:
        """It is not, after all."""
        self._counted -= 1

    def within(self, room: int) -> int:
        """How many more tasks may be claimed, where there is room for so many."""
        return room if self._max_tasks is None else min(room, self._max_tasks - self._counted)

    def ready_again(self, at: float) -> None:
        """Something was given back: the queues are not empty before this time, at the latest, whatever they say."""
        self._due = max(self._due, at)

    def change(self) -> None:
        """A run has ended or its outcome is written: it may be ready again, or have enqueued more."""
        self._changes += 1

    def ask(self) -> int:
        """A claim begins; to be shown when it is answered."""
        return self._changes

    def hear(self, asked: int, *, empty: bool) -> bool:
        """Whether the answer to that claim, which may be `empty`, says something of now."""
        current = asked == self._changes or not self._burst
        self._empty = empty and current
        return current

    def until_due(self, now: float) -> float:
        """What comes from now on is not known; seconds after which to ask anew at the latest."""
        self._empty = False  # before the wait, which may be cut short by an error
        return self._due - now if self._burst and self._due > now else math.inf

    def is_reached(self, now: float) -> bool:
        """Whether there is nothing more to do, when nothing is in hand."""
        if self._max_tasks is not None and self._counted >= self._max_tasks:
            return True
        return self._burst and self._empty and now >= self._due

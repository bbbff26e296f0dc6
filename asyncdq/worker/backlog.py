"""What was claimed ahead and waits for a slot, in the order of the queues' priority."""

from __future__ import annotations

import math
from collections import deque

from .run import Run


class Backlog:
    """Runs by the position of their queue: an earlier queue's run always comes out first."""

    def __init__(self, queues: int) -> None:
        self._lanes: list[deque[Run]] = [deque() for _ in range(queues)]
        self._size = 0
        self._ran_out = True

    def __len__(self) -> int:
        return self._size

    def add(self, run: Run) -> None:
        """Append a run to those of its queue."""
        self._lanes[run.position].append(run)
        self._size += 1

    def pop(self) -> Run:
        """Remove and return the run to start next. Raises IndexError when there is none."""
        for lane in self._lanes:
            if lane:
                self._size -= 1
                self._ran_out = self._ran_out or not self._size
                return lane.popleft()
        raise IndexError("the backlog is empty")

    def has_lasted(self) -> bool:
        """Whether it holds anything now, and has done so ever since this was asked last."""
        ran_out, self._ran_out = self._ran_out, not self._size
        return bool(self._size) and not ran_out

    def surplus(self, count: int) -> list[Run]:
        """Remove and return what has one attempt only, behind the first `count` of these, and all that follows."""
        waiting = [run for lane in self._lanes for run in lane]
        for place, run in enumerate(waiting):
            count -= run.max_attempts == 1
            if count < 0:
                taken, self._size = waiting[place:], place
                self._ran_out = self._ran_out or not place
                gone = set(taken)
                self._lanes = [deque(run for run in lane if run not in gone) for lane in self._lanes]
                return taken
        return []

    def discard(self, run: Run) -> bool:
        """Remove this run if it is here; returns whether it was."""
        lane = self._lanes[run.position]
        if run not in lane:
            return False
        lane.remove(run)
        self._size -= 1
        self._ran_out = self._ran_out or not self._size
        return True

    def take(self, claimed_by: float = math.inf) -> list[Run]:
        """Remove and return what was claimed at `claimed_by` (event loop time) or before; without it, all."""
        taken = [run for lane in self._lanes for run in lane if run.claimed_at <= claimed_by]
        for run in taken:
            self.discard(run)
        return taken

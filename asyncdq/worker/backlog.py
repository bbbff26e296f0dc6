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
                return lane.popleft()
        raise IndexError("the backlog is empty")

    def discard(self, run: Run) -> bool:
        """Remove this run if it is here; returns whether it was."""
        lane = self._lanes[run.position]
        if run not in lane:
            return False
        lane.remove(run)
        self._size -= 1
        return True

    def take(self, claimed_by: float = math.inf) -> list[Run]:
        """Remove and return what was claimed at `claimed_by` (event loop time) or before; without it, all."""
        taken = [run for lane in self._lanes for run in lane if run.claimed_at <= claimed_by]
        for run in taken:
            self.discard(run)
        return taken

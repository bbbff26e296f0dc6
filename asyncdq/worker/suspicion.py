"""Suspects run alone.

A suspect is a delivery whose next loss would bury it: it may be what killed its workers. A worker that meets
one while other tasks run gives it back at once, with all that it has not started, and claims nothing until
these have ended, or ALONE seconds have passed. Then it claims one message at a time, as long as suspects come,
and for a suspect's first ALONE seconds nothing beside it, nor before its outcome is written: if it kills the
worker, nobody else pays; if it is innocent, nobody else takes it down. One that runs longer shares its worker
again, since a long task must not bring a worker to a halt; other suspects stay away from it.

While anything comes that was lost before, nothing is claimed ahead: what is in hand when the next worker dies is lost
once more, and should be little.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..message import Delivery
from .run import Run

ALONE = 30.0  # seconds
AWAY = 10.0  # seconds for which others stay away from a long suspect: each claim is a risk for what is claimed


class Suspicion:
    """Which run is under suspicion, and what that does to claiming. Times are the event loop's."""

    def __init__(self) -> None:
        self.suspect: Run | None = None
        self._alone_until = 0.0
        self._clearing_until: float | None = None
        self._careful = False
        self._lost_before = False

    @property
    def wary(self) -> bool:
        """Whether to claim nothing ahead."""
        return self._lost_before or self.suspect is not None

    def look(self, claimed: Sequence[Delivery]) -> None:
        """See what a claim has brought."""
        self._lost_before = any(delivery.lost for delivery in claimed)

    def room(self, room: int, running: int, now: float) -> int:
        """How much of this room may be claimed now."""
        if self._alone(now):
            return 0
        if self._clearing_until is not None and running and now < self._clearing_until:
            return 0
        return min(room, 1) if self._careful else room

    def choose(self, suspects: list[Run], running: int, now: float) -> Run | None:
        """Take the one to run out of the suspects of a claim, if it is time; the others go back."""
        self._careful = bool(suspects)
        if not suspects or self.suspect is not None:
            self._clearing_until = None
            return None
        if self._clearing_until is None:
            self._clearing_until = now + ALONE
        if running and now < self._clearing_until:
            return None
        self.suspect = suspects.pop(0)
        self._clearing_until = None
        self._alone_until = now + ALONE
        return self.suspect

    def away(self, now: float) -> float:
        """Seconds for which suspects that go back stay away; 0: they keep their place, nothing is claimed anyway."""
        return AWAY if self.suspect is not None and not self._alone(now) else 0.0

    def ended(self, run: Run) -> None:
        """This run has ended, its outcome is written, and its worker lives. Before that, the next one could undo it."""
        if run is self.suspect:
            self.suspect = None

    def _alone(self, now: float) -> bool:
        return self.suspect is not None and now < self._alone_until

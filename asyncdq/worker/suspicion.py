"""Suspects run one at a time.

A suspect is a delivery whose next loss would bury it: it may be what killed its workers. A worker runs one
at a time, and starts it only when the others it had claimed are safely back. For a suspect's first second
nothing is claimed beside it, since most killers kill at once; then only one message at a time, as long as
suspects come. So a task that kills its workers is buried, and what was claimed with it is not.
"""

from __future__ import annotations

from .run import Run

QUARANTINE = 1.0  # seconds: a suspect's time alone, and how long the others stay away


class Suspicion:
    """Which run is under suspicion, and what that does to claiming. Times are the event loop's."""

    def __init__(self) -> None:
        self.suspect: Run | None = None
        self._alone_until = 0.0
        self._careful = False

    def room(self, room: int, now: float) -> int:
        """How much of this room may be claimed now."""
        if self.suspect is not None and now < self._alone_until:
            return 0
        return min(room, 1) if self._careful else room

    def choose(self, suspects: list[Run], slot_free: bool, now: float) -> Run | None:
        """Take the one to run out of the suspects of a claim, which may be none; the others go back."""
        chosen = None
        if suspects and slot_free and self.suspect is None:
            chosen = self.suspect = suspects.pop(0)
            self._alone_until = now + QUARANTINE
        self._careful = bool(suspects)
        return chosen

    def ended(self, run: Run) -> None:
        """This run has ended, and its worker lives."""
        if run is self.suspect:
            self.suspect = None

"""What a scenario is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .grounds import Ground
from .report import Report
from .trial import Trial


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which things go wrong.

    number  in the list of scenarios that docs/reliability.md goes by
    name    a few words for the table
    run     breaks it, and says what came of it
    needs   what a driver must have for this to mean anything: see grounds.py
    """

    number: str
    name: str
    run: Callable[[Trial], Awaitable[Report]]
    needs: frozenset[str] = frozenset()

    def left_out(self, ground: Ground) -> str | None:
        """Why it is not run on this driver; None: it is."""
        return next((ground.lacks[need] for need in sorted(self.needs) if need in ground.lacks), None)

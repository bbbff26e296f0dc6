"""How much of everything a run does, and how long it waits."""

from __future__ import annotations

import os
from dataclasses import dataclass

LOOK = 0.05
"""Seconds between two looks at the ledger."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything.

    tasks     of a scenario that is about many
    kills     of workers, one after the other
    rounds    of what is done again and again
    away      seconds that a server is away
    rows      that may lie in a table, and wait
    patience  seconds until a scenario that does not come to its end is given up
    """

    tasks: int
    kills: int
    rounds: int
    away: float
    rows: int
    patience: float


SHORT = Scale(tasks=300, kills=2, rounds=2, away=1.5, rows=10_000, patience=20.0)
USUAL = Scale(tasks=10_000, kills=12, rounds=20, away=3.0, rows=100_000, patience=60.0)
LONG = Scale(tasks=50_000, kills=60, rounds=100, away=30.0, rows=1_000_000, patience=300.0)


def crowd() -> float:
    """How many others want each core, at least 1: the factor by which everything takes longer here and now."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

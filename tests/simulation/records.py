"""What the ledger keeps: leases, executions, and what was promised of each message."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .virtual import Process


class Held(Enum):
    """What became of a lease."""

    STILL = "held"
    SETTLED = "settled"
    LAPSED = "lapsed, and claimed by somebody else"


@dataclass(slots=True, eq=False)
class Lease:
    """One claim of one message, as the server saw it. `heard`: its worker knows of it."""

    id: str
    by: str
    receipt: int
    length: float
    until: float
    heard: bool = False
    turned_away: bool = False  # the server refused to write its outcome: its worker gives it up
    state: Held = Held.STILL


@dataclass(slots=True, eq=False)
class Execution:
    """One run of one task. `end` is empty while it runs."""

    id: str
    process: Process | None
    lease: Lease | None
    attempt: int
    started: float
    ended: float | None = None
    end: str = ""
    refused: float | None = None  # when its worker was told that the lease is gone


class Promise(NamedTuple):
    """What must become of a message: `ends` are "done" or the reasons of a burial."""

    ends: frozenset[str]
    max_attempts: int = 3
    stubborn: bool = False  # cannot be ended: a shutdown may leave it running and give it back
    longest: float = math.inf  # seconds of one run

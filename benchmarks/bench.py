"""What every measurement has: a store, and what is known of the contenders' speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .contender import Contender
from .store import Store
from .trial import Trial

Numbers = dict[str, float]

PROBE = 300
"""Tasks of the first run of a contender whose speed is not known; if that was short, it only tells how many to take."""

ENOUGH = 0.4
"""The share of the seconds wanted that a run must have taken to count."""

TRIES = 3

FILLING = 3.0
"""Seconds that enqueueing a backlog takes at most."""


@dataclass(slots=True)
class Speeds:
    """Tasks per second of each contender and workload as far as is known, so that a run takes about as long for all."""

    seconds: float = 2.0
    known: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def count(self, contender: Contender, key: str, most: float = 10**6) -> int:
        """Tasks for one run."""
        rate = self.known.get((contender.name, key))
        return PROBE if rate is None else max(100, round(min(rate * self.seconds, most)))

    def learn(self, contender: Contender, key: str, count: int, rate: float) -> bool:
        """Whether a run at this rate was long enough to count."""
        self.known[contender.name, key] = rate
        return not rate or count / rate > self.seconds * ENOUGH


@dataclass(frozen=True, slots=True)
class Bench:
    """Handed to every measurement."""

    store: Store
    speeds: Speeds


Measure = Callable[[Bench, Contender], Numbers | None]


def long_enough(key: str, once: Callable[[Bench, Contender], tuple[Numbers, int]]) -> Measure:
    """Measured again with more tasks if it was too short to count."""

    def measure(bench: Bench, contender: Contender) -> Numbers | None:
        for tries_left in reversed(range(TRIES)):
            numbers, count = once(bench, contender)
            if not count:
                return None
            enough = bench.speeds.learn(contender, key, count, numbers["rate"])
            if enough or not tries_left or numbers.get("lost"):
                return numbers
        return None

    return measure


def filled(bench: Bench, trial: Trial, count: int, task: str = "noop") -> None:
    """So many tasks wait."""
    told = trial.produce("fill", count, task)
    bench.speeds.known[trial.contender.name, "fill"] = told["count"] / told["seconds"]

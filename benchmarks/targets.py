"""What was to be reached on a machine of two cores, full worker, default settings, and whether it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .contender import EVENTS, FLOOR, OURS, WATCHED
from .results import Results

Found = float | None


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that has a target: at least that, or at most if `most`.

    A `figure` is for orientation: it depends on the machine as much as on us.
    """

    workload: str
    words: str
    value: Callable[[Results], Found]
    most: bool = False
    figure: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A target, and what was found."""

    measure: Measure
    wanted: float
    found: float

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.found <= self.wanted if self.measure.most else self.found >= self.wanted


def absolute(workload: str, name: str) -> Callable[[Results], Found]:
    """Our number."""
    return lambda results: results.median(workload, OURS, name)


def over_best(workload: str, name: str = "rate") -> Callable[[Results], Found]:
    """Ours over that of the best rival that lost nothing and ran no more at a time than it was told to."""

    def value(results: Results) -> Found:
        best = results.rivals(workload, name, more=True)
        return over(results.median(workload, OURS, name), results.median(workload, best[0], name) if best else None)

    return value


def over_floor(workload: str, name: str = "rate") -> Callable[[Results], Found]:
    """Ours over that of the floor."""
    return lambda results: over(results.median(workload, OURS, name), results.median(workload, FLOOR, name))


def with_events(workload: str, contender: str) -> Callable[[Results], Found]:
    """The rate with events over that without."""
    return lambda results: over(results.median(workload, contender, "rate"), results.median(workload, OURS, "rate"))


def over(ours: Found, other: Found) -> Found:
    """None if either was not measured."""
    return None if ours is None or not other else ours / other


MEASURES = {
    "single of best": Measure("W1", "over the best rival", over_best("W1")),
    "single of floor": Measure("W1", "over the bare call", over_floor("W1")),
    "single": Measure("W1", "per second", absolute("W1", "rate"), figure=True),
    "concurrent of best": Measure("W1c", "over the best rival", over_best("W1c")),
    "concurrent": Measure("W1c", "per second", absolute("W1c", "rate"), figure=True),
    "bulk": Measure("W1b", "per second", absolute("W1b", "rate"), figure=True),
    "c10 of best": Measure("W2 c10", "over the best rival", over_best("W2 c10")),
    "c10": Measure("W2 c10", "per second", absolute("W2 c10", "rate"), figure=True),
    "cpu": Measure("W2 c10", "us of CPU per task", absolute("W2 c10", "cpu_us"), most=True, figure=True),
    "c100 of best": Measure("W2 c100", "over the best rival", over_best("W2 c100")),
    "c100": Measure("W2 c100", "per second", absolute("W2 c100", "rate"), figure=True),
    "c100 of floor": Measure("W2 c100", "over the floor", over_floor("W2 c100")),
    "events": Measure("W2 c100", "with events, over without", with_events("W2 c100", EVENTS)),
    "watched": Measure("W2 c100", "with events that are read, over without", with_events("W2 c100", WATCHED)),
    "p50": Measure("W3", "ms, p50", absolute("W3", "p50"), most=True, figure=True),
    "p99": Measure("W3", "ms, p99", absolute("W3", "p99"), most=True, figure=True),
    "p50 inside": Measure("W3 inside", "ms, p50", absolute("W3 inside", "p50"), most=True, figure=True),
    "p99 inside": Measure("W3 inside", "ms, p99", absolute("W3 inside", "p99"), most=True, figure=True),
    "io c10": Measure("W4 c10", "% of the ceiling", absolute("W4 c10", "share")),
    "io c1000": Measure("W4 c1000", "% of the ceiling", absolute("W4 c1000", "share")),
    "cores": Measure("W5", "% of two cores", absolute("W5", "share")),
    "memory": Measure("W6", "MB at the end of W2 c10", absolute("W2 c10", "memory_mb"), most=True),
    "backlog": Measure("W7", "times the claim at a small backlog", absolute("W7", "ratio"), most=True),
    "commands": Measure("W8", "commands a minute", absolute("W8", "commands"), most=True),
    "idle": Measure("W8", "% CPU", absolute("W8", "cpu_percent"), most=True),
    "help": Measure("W9", "s for --help", absolute("W9", "help_s"), most=True),
    "start": Measure("W9", "s from start to the first task", absolute("W2 c10", "start_s"), most=True),
    "delayed c10": Measure("W10 c10", "of the rate without delay", absolute("W10 c10", "ratio")),
    "delayed c100": Measure("W10 c100", "of the rate without delay", absolute("W10 c100", "ratio")),
}

EVERYWHERE = {
    "io c10": 98.0,
    "cores": 85.0,
    "backlog": 2.0,
    "help": 0.3,
    "start": 0.6,
    "delayed c10": 0.8,
    "delayed c100": 0.8,
}
WOKEN = {**EVERYWHERE, "commands": 60.0, "idle": 0.3}

WANTED: dict[str, dict[str, float]] = {
    "redis": {
        **WOKEN,
        "single of floor": 0.7,
        "concurrent of best": 2.5,
        "concurrent": 30_000,
        "bulk": 80_000,
        "c10 of best": 3.6,
        "c10": 25_000,
        "cpu": 40,
        "c100 of best": 4.8,
        "c100": 45_000,
        "c100 of floor": 0.5,
        "events": 0.75,
        "watched": 0.75,
        "p50": 0.8,
        "p99": 2,
        "io c1000": 98,
        "memory": 60,
    },
    "postgres": {
        **WOKEN,
        "single of best": 1,
        "concurrent of best": 3,
        "bulk": 60_000,
        "c10 of best": 4,
        "c10": 13_000,
        "cpu": 50,
        "c100 of best": 2,
        "c100": 26_000,
        "c100 of floor": 0.5,
        "p50": 1.5,
        "p99": 4,
        "io c1000": 98,
    },
    "sqlite": {
        **WOKEN,
        "single": 10_000,
        "concurrent": 50_000,
        "bulk": 100_000,
        "c10 of best": 8,
        "c10": 25_000,
        "cpu": 40,
        "c100": 40_000,
        "c100 of floor": 0.5,
        "p50": 0.5,
        "p99": 2,
        "p50 inside": 0.5,
        "p99 inside": 2,
        "io c1000": 98,
    },
    "rabbitmq": {
        **WOKEN,
        "single of best": 1,
        "concurrent of best": 1,
        "bulk": 8_000,
        "c10 of best": 1.5,
        "c10": 6_000,
        "cpu": 120,
        "c100 of best": 1.5,
        "c100": 7_000,
        "c100 of floor": 0.7,
        "p50": 1.5,
        "p99": 4,
    },
    "mysql": {
        **EVERYWHERE,
        "single of best": 1,
        "concurrent of best": 1,
        "bulk": 40_000,
        "c10 of best": 15,
        "c10": 4_000,
        "cpu": 150,
        "c100 of best": 30,
        "c100": 8_000,
        "c100 of floor": 0.6,
        "p50": 60,
        "p99": 250,
    },
    "sqs": {**EVERYWHERE, "c100 of floor": 0.8},
}


def judged(results: Results) -> list[Judged]:
    """The targets of a driver, in the order of the workloads, as far as they were measured."""
    wanted = WANTED[results.driver]
    found = [(name, measure, measure.value(results)) for name, measure in MEASURES.items() if name in wanted]
    return [Judged(measure, wanted[name], value) for name, measure, value in found if value is not None]

"""The table that a run ends with: workload by contender, medians with their spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .contender import NO_RIVALS, OURS
from .results import Results
from .workloads import WORKLOADS, Workload

BESIDE = (
    "sent_rate",
    "cpu_us",
    "server_us",
    "p95",
    "p99",
    "memory_mb",
    "start_s",
    "commands",
    "lost",
    "doubled",
    "over",
)
"""Numbers shown beside the headline of a workload."""


def order(results: Results, workload: Workload) -> list[str]:
    """Ours, the floor, and the rivals, the best first; those that lost tasks, or ran too many at a time, come last."""
    cells = results.cells.get(workload.key, {})
    rivals = results.rivals(workload.key, workload.headline, more=workload.more)
    rest = [name for name in cells if name not in (*NO_RIVALS, *rivals)]
    return [name for name in (*NO_RIVALS, *rivals, *rest) if name in cells]


def cells_of(results: Results, workload: Workload, contender: str) -> list[str]:
    """One line: the headline with its spread, what it is to ours, and the numbers beside it."""
    median = results.median(workload.key, contender, workload.headline)
    ours = results.median(workload.key, OURS, workload.headline)
    assert median is not None
    low, high = results.spread(workload.key, contender, workload.headline)
    ratio = f"{ours / median:.2f}" if ours is not None and median else "-"
    beside = [results.median(workload.key, contender, name) for name in BESIDE]
    return [
        contender,
        shown(median),
        "once" if results.rounds(workload.key, contender) == 1 else f"{shown(low)} to {shown(high)}",
        ratio,
        *("-" if number is None else shown(number) for number in beside),
    ]


def columns(results: Results, workload: Workload) -> list[list[str]]:
    """The table of one workload, without columns that have no number."""
    head = ["", f"{workload.headline}, {workload.unit}", "spread", "asyncdq / it", *map(spoken, BESIDE)]
    lines = [head, *(cells_of(results, workload, contender) for contender in order(results, workload))]
    kept = [column for column in range(len(head)) if column < 4 or any(line[column] != "-" for line in lines[1:])]
    return [[line[column] for column in kept] for line in lines]


def spoken(name: str) -> str:
    """A number's name as a heading."""
    return name.replace("_", " ")


def shown(number: float) -> str:
    """With three figures."""
    size = abs(number)
    return f"{number:,.{0 if size >= 100 or number == int(number) else 1 if size >= 10 else 2}f}"


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """In columns."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def text(results: Results) -> Iterator[str]:
    """All workloads that were measured."""
    for workload in WORKLOADS:
        if workload.key in results.cells:
            yield from ("", f"{workload.key}: {workload.title}", *aligned(columns(results, workload)))

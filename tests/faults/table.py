"""The table that a run ends with: driver by scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .report import Report
from .run import Row

NUMBERS = ("tasks", "lost", "duplicates", "bound", "early", "late", "order", "attempts", "buried", "recovery", "within")
COLUMNS = ("driver", "no.", "scenario", *NUMBERS, "")

LEGEND = """\
Scenarios with the same `no.` are of one kind. `tasks` were enqueued, and their enqueue returned. `lost`: neither
executed to the end nor buried with cause. `duplicates`: executions of an attempt beyond its first, and their `bound`.
`early`: starts before the due time, or before a pause between attempts was over. `late`: seconds from due to started,
of 99 in 100. `order`: starts although a task of an earlier queue was waiting. `attempts`: tasks with more of them than
they may have. `buried`: tasks in the dead letters that have no business there. `recovery`: seconds until all is as
before, and `within` how many it may be; `ok at load 3` where it took longer because so many wanted each core."""


def cells(row: Row) -> list[str]:
    """One line of it."""
    head = [row.driver, row.scenario.number, row.scenario.name]
    if row.report is None:
        return [*head, *["-"] * len(NUMBERS), f"left out: {row.why}"]
    account, bounds, recovery = row.report.account, row.report.bounds, row.report.recovery
    counted = (
        account.tasks,
        len(account.lost),
        account.duplicates,
        bounds.duplicates,
        account.early,
        account.latest,
        account.out_of_order,
        account.over_attempts,
        len(account.buried),
        recovery,
        bounds.recovery,
    )
    return [*head, *map(_shown, counted), _verdict(row, row.report)]


def _verdict(row: Row, report: Report) -> str:
    if row.failed:
        return "**FAILED**"
    return f"ok at load {report.crowd:.1f}" if report.slow else "ok"


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f}" if isinstance(number, float) else f"{number}"


def text(rows: Sequence[Row]) -> Iterator[str]:
    """With its columns aligned."""
    lines = [list(COLUMNS), *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Without the driver's column."""
    yield f"| {' | '.join(COLUMNS[1:])} |"
    yield f"|{'---|' * (len(COLUMNS) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cells(row)[1:])} |"

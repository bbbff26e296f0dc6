"""What a run of the tests ends with: the matrix of docs/guarantees.md, as this run has found it.

A cell that the documentation calls `yes` is what the tests say that its row names: `ok`, `FAILED`, `skipped`, or `-` if
none of them ran on that driver. The other words are the documentation's own. In a run of everything, a `-` fails the
run: then the documentation promises what no test has shown. A test that has no driver, or that runs on SQLite alone,
shows what the core does whatever the driver is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers.fixtures import driver_of

SEVERITY = ("ok", "skipped", "FAILED")

ROOT = Path(__file__).resolve().parents[1]
GUARANTEES = ROOT / "docs" / "guarantees.md"


@dataclass(frozen=True, slots=True)
class Promise:
    """A row of the documentation's matrix: its tests as node ids without parameters, its word for each driver."""

    text: str
    tests: tuple[str, ...]
    words: dict[str, str]


def promises() -> list[Promise]:
    """The rows of the documentation's matrix."""
    lines = GUARANTEES.read_text("utf-8").partition("## The matrix")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    drivers = rows[0][2:]
    return [
        Promise(text, tuple(re.findall(r"`(\S+\.py::\w+)`", tests)), dict(zip(drivers, words, strict=True)))
        for text, tests, *words in rows[2:]
    ]


@dataclass(eq=False)  # pytest keeps its plugins by identity
class Matrix:
    """The plugin: it hears of every test's end, and prints at the end. `selected` are the drivers that are tested."""

    selected: set[str]
    ends: dict[str, dict[str | None, str]] = field(default_factory=lambda: defaultdict(dict))
    rows: list[Promise] = field(default_factory=promises)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of a test has ended, in this process or, with -n, in another."""
        end = "FAILED" if report.failed else "skipped" if report.skipped else "ok"
        node, driver = report.nodeid.partition("[")[0], driver_of(report.nodeid)
        if end != "ok" or report.when == "call":
            self.ends[node][driver] = max(end, self.ends[node].get(driver, end), key=SEVERITY.index)

    def cell(self, row: Promise, driver: str) -> str:
        """What this run has found of a promise on a driver."""
        if row.words[driver] != "yes":
            return row.words[driver]
        if driver not in self.selected:
            return "-"
        ends = [end for test in row.tests if (end := self._end(test, driver))]
        return max(ends, key=SEVERITY.index, default="-")

    def _end(self, test: str, driver: str) -> str | None:
        ends = self.ends[test]
        return ends.get(driver) or ends.get(None) or (ends["sqlite"] if ends.keys() == {"sqlite"} else None)

    def unshown(self) -> list[str]:
        """What the documentation says and no test of this run has shown."""
        return [f"{row.text}: {name}" for row in self.rows for name in row.words if self.cell(row, name) == "-"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a run of everything, what was not shown is a failure."""
        if session.exitstatus == pytest.ExitCode.OK and everything(session.config) and self.unshown():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """The matrix, if more than a few tests have run."""
        drivers = list(self.rows[0].words)
        if len(self.ends) < len(self.rows):
            return
        terminalreporter.section("what was shown, by driver (docs/guarantees.md)")
        terminalreporter.write_line(f"{'':90}" + "".join(f"{name:>10}" for name in drivers))
        for row in self.rows:
            text = row.text.replace("**", "").replace("`", "")
            cells = "".join(f"{self.cell(row, name):>10}" for name in drivers)
            terminalreporter.write_line(f"{text[:88]:90}{cells}")
        if everything(config):
            for missing in self.unshown():
                terminalreporter.write_line(f"promised and not shown: {missing}")


def everything(config: pytest.Config) -> bool:
    """Whether neither files nor drivers nor tests were left out."""
    options = config.option
    chosen = options.keyword or options.markexpr or options.drivers or options.deselect or options.file_or_dir
    return not (chosen or getattr(options, "lf", False) or options.maxfail or options.collectonly)

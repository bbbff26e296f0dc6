"""The page of a run keeps what other runs have said of other drivers."""

from __future__ import annotations

from pathlib import Path

from . import page
from .account import Account
from .report import Bounds, Report
from .run import Row
from .scenario import Scenario
from .selfcheck import CHECKS, Finding
from .trial import Trial


async def nothing(trial: Trial) -> Report:
    return Report(Account(), Bounds())


CALM = Scenario("0", "nothing happens", nothing)


def row(driver: str, report: Report | None = None) -> Row:
    return Row(driver, CALM, report or Report(Account(), Bounds()))


def test_a_driver_that_was_run_again_has_a_new_section_and_the_others_keep_theirs(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    page.write([row("sqlite"), row("redis")], [], "make faults SEED=1", 1, file)
    before = page.sections(file.read_text())
    page.write([row("sqlite")], [], "make faults SEED=2", 2, file)
    after = page.sections(file.read_text())
    assert list(after) == ["sqlite", "redis"]
    assert "seed 2" in after["sqlite"]
    assert after["redis"] == before["redis"]


def test_a_failure_and_a_planted_bug_that_was_missed_stand_in_the_page(tmp_path: Path) -> None:
    failed = Report(Account(tasks=2, lost=frozenset({"a"})), Bounds())
    missed = [Finding("sqlite", check) for check in CHECKS]
    page.write([row("sqlite", failed)], missed, "make faults", 1, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "| 0 | nothing happens | 2 | 1 |" in text
    assert "**FAILED**" in text
    assert f"Planted bugs found: 0 of {len(CHECKS)}" in text

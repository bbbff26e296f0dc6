"""The benchmarks work: a run of a few hundred tasks counts them, and the page is made from what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.contender import EVENTS, OURS
from benchmarks.occupancy import most_at_once, rate_while_full
from benchmarks.results import Results
from benchmarks.rounds import Plan, measured
from benchmarks.store import opened
from benchmarks.targets import judged
from tests.servers.fixtures import skip_unless_selected


def test_a_quick_run_counts_every_task_and_makes_a_page(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    skip_unless_selected("sqlite", request.config)
    with opened("sqlite") as store:
        results = measured(store, Plan(("W1", "W2 c10", "W3 inside"), (OURS,), rounds=1, seconds=0.05))
    results.save(tmp_path)
    kept = Results.load_from(tmp_path / "sqlite.json")
    assert kept.cells == results.cells
    assert kept.about[OURS].get("errors") is None
    assert kept.median("W1", OURS, "rate")
    assert kept.median("W2 c10", OURS, "rate")
    assert kept.median("W2 c10", OURS, "lost") == 0
    assert kept.median("W2 c10", OURS, "doubled") == 0
    assert kept.median("W3 inside", OURS, "lost") == 0
    assert {one.measure.workload for one in judged(kept)} >= {"W1", "W2 c10"}
    page.write(tmp_path, tmp_path / "page.md", tmp_path)
    assert "## sqlite" in (tmp_path / "page.md").read_text()
    assert OURS in (tmp_path / "sqlite.svg").read_text()


def test_a_second_run_keeps_what_it_does_not_measure_again(tmp_path: Path) -> None:
    first, second = (Results("sqlite", "SQLite", "WAL") for _ in range(2))
    first.add("W1", "huey", {"rate": 1.0})
    first.add("W1", OURS, {"rate": 2.0})
    first.save(tmp_path)
    second.save(tmp_path)  # as after a workload that somebody else is measured by
    second.add("W1", OURS, {"rate": 3.0})
    second.save(tmp_path)
    kept = Results.load_from(tmp_path / "sqlite.json")
    assert kept.cells["W1"] == {"huey": {"rate": [1.0]}, OURS: {"rate": [3.0]}}
    assert kept.earlier == {"W1": {"huey": f"{first.when} UTC, {first.machine.partition(',')[0]}"}}
    page.write(tmp_path, tmp_path / "page.md", tmp_path)
    assert f"Of an earlier run ({kept.earlier['W1']['huey']}): huey." in (tmp_path / "page.md").read_text()


def test_a_rival_that_lost_tasks_is_not_the_best(tmp_path: Path) -> None:
    results = Results("redis", "Redis", "")
    results.add("W2 c10", "fast", {"rate": 9.0, "lost": 1.0})
    results.add("W2 c10", "slow", {"rate": 1.0, "lost": 0.0})
    assert results.rivals("W2 c10", "rate", more=True) == ["slow"]


def test_tasks_in_full_waves_are_the_whole_ceiling_and_no_more_than_the_slots() -> None:
    times = [wave * 0.1 for wave in range(30) for _ in range(10)]
    assert rate_while_full(times, 10) == pytest.approx(100)
    assert most_at_once(times) == 10


def test_who_is_too_slow_to_fill_the_slots_is_measured_by_all_that_it_started() -> None:
    assert rate_while_full([0.5 * number for number in range(41)], 10) == pytest.approx(2.05)
    assert rate_while_full([], 10) == 0


def test_who_runs_more_at_a_time_than_it_was_told_is_found_out_and_is_no_rival() -> None:
    assert most_at_once([0.0] * 16 + [0.1] * 16) == 16
    assert rate_while_full([0.0] * 300, 10) == 1900  # not divided by nothing
    results = Results("redis", "", "")
    for name, over in ("modest", 0), ("greedy", 6):
        results.add("W4 c10", name, {"share": 98.0 + over, "over": over})
    assert results.rivals("W4 c10", "share", more=True) == ["modest"]


def told(settings: str, **more: object) -> dict[str, object]:
    return {"settings": settings, "crash": "", "versions": {"huey": "3"}, **more}


def test_what_an_earlier_run_said_stays_with_the_numbers_that_stay() -> None:
    first, second = (Results("sqlite", "SQLite", "WAL") for _ in range(2))
    first.about["huey"] = told("slow", errors={"W1": "refused", "W1c": "locked"})
    first.add("W2 c10", "huey", {"rate": 1.0})
    second.about["huey"] = told("fast")
    assert second.over(first).about == first.about  # nothing of it is measured yet
    second.add("W1", "huey", {"rate": 2.0})
    kept = second.over(first)
    earlier = {"settings": "slow", "versions": {"huey": "3"}}
    assert kept.about["huey"] == told("fast", errors={"W1c": "locked"}, earlier=earlier)
    assert second.over(kept).about == kept.about  # a run saves after each workload
    second.add("W2 c10", "huey", {"rate": 3.0})
    assert second.over(kept).about["huey"] == told("fast", errors={"W1c": "locked"})


def test_numbers_that_no_run_measures_any_more_are_dropped() -> None:
    first, second = (Results("redis", "Redis", "") for _ in range(2))
    for key, name in ("W2 c10", EVENTS), ("W2 c100", EVENTS), ("W4 c1000", "huey"), ("W2 c10", "gone"), ("W0", OURS):
        first.add(key, name, {"rate": 1.0})
    first.about |= {"gone": told(""), "huey": told("", errors={"W4 c1000": "no threads"})}
    second.add("W2 c100", OURS, {"rate": 2.0})
    kept = second.over(first)
    assert kept.cells == {"W2 c100": {EVENTS: {"rate": [1.0]}, OURS: {"rate": [2.0]}}}
    assert kept.about == {"huey": told("")}


def test_how_long_a_whole_run_took_stays_after_a_run_of_a_part() -> None:
    whole, part = Results("redis", "Redis", "", seconds=600), Results("redis", "Redis", "")
    assert part.over(whole).seconds == 600

"""The checker finds what is wrong in a ledger that is written by hand, and nothing in one that is right."""

from __future__ import annotations

from collections.abc import Iterable

from tests.integration.ledger import END, ENQUEUED, RETURNED, START, Entry

from .account import Account, Books, Promise
from .report import Bounds, Report

A, B = 11, 22  # two workers


def enqueued(id: str, promise: Promise | None = None, at: float = 0.0) -> Entry:
    return Entry(ENQUEUED, id, 0, 1, at, (promise or Promise()).said)


def run(id: str, start: float, end: float, pid: int = A, attempt: int = 1, how: str = RETURNED) -> list[Entry]:
    return [Entry(START, id, attempt, pid, start, ""), Entry(END, id, attempt, pid, end, how)]


def account(*entries: Entry | list[Entry], dead: Iterable[str] = (), off: dict[int, float] | None = None) -> Account:
    flat = [entry for each in entries for entry in (each if isinstance(each, list) else [each])]
    known, starts, ends = ([entry for entry in flat if entry.kind == kind] for kind in (ENQUEUED, START, END))
    return Books(known, starts, ends, dead, off or {}).account()


def wrong(found: Account, bounds: Bounds | None = None, recovery: float | None = None) -> list[str]:
    """The first words of what a report says to be wrong."""
    return [each.partition(":")[0] for each in Report(found, bounds or Bounds(), recovery).violations]


def test_what_was_executed_once_in_time_is_right() -> None:
    found = account(enqueued("a"), enqueued("b", Promise(due=5.0)), run("a", 1, 2), run("b", 5.1, 6, B))
    assert (found.tasks, found.executions, wrong(found)) == (2, 2, [])


def test_what_was_never_executed_is_lost() -> None:
    assert account(enqueued("a"), enqueued("b"), run("b", 1, 2)).lost == {"a"}


def test_what_was_started_and_not_ended_is_lost() -> None:
    found = account(enqueued("a"), run("a", 1, 2)[:1])
    assert (set(found.lost), wrong(found)) == ({"a"}, ["lost"])


def test_what_only_failed_is_lost() -> None:
    assert account(enqueued("a"), run("a", 1, 2, how="ValueError")).lost == {"a"}


def test_what_should_die_and_did_not_is_lost() -> None:
    assert account(enqueued("a", Promise(dies=True)), run("a", 1, 2)).lost == {"a"}
    assert wrong(account(enqueued("a", Promise(dies=True)), dead=["a"])) == []


def test_a_second_execution_of_an_attempt_is_a_duplicate_and_a_retry_is_none() -> None:
    found = account(enqueued("a"), run("a", 1, 2, how="ValueError"), run("a", 3, 4, B, 2), run("a", 5, 6, A, 2))
    assert (found.duplicates, found.twice) == (1, 1)
    assert wrong(found) == ["duplicates"]
    assert wrong(found, Bounds(duplicates=1)) == []
    assert wrong(found, Bounds(duplicates=1, twice=0)) == ["done twice"]


def test_a_start_before_its_time_is_early() -> None:
    found = account(enqueued("a", Promise(due=5.0)), run("a", 4.9, 6))
    assert (found.early, wrong(found)) == (1, ["early"])


def test_an_attempt_before_the_pause_is_over_is_early() -> None:
    promise = Promise(retry=2.0)
    runs = [*run("a", 1, 2, how="ValueError"), *run("a", 3.5, 4, B, 2)]
    assert account(enqueued("a", promise), runs).early == 1
    assert account(enqueued("a", Promise(retry=1.5)), runs).early == 0


def test_a_clock_that_is_known_to_be_wrong_is_put_right() -> None:
    promise = enqueued("a", Promise(due=5.0))
    assert account(promise, run("a", 3605.1, 3606), off={A: 3600.0}).latest == 0.09999999999990905
    assert account(promise, run("a", 3604.9, 3606), off={A: 3600.0}).early == 1


def test_what_started_too_long_after_its_time_is_late() -> None:
    found = account(enqueued("a", Promise(due=5.0)), run("a", 9, 10))
    assert (found.latest, wrong(found), wrong(found, Bounds(late=3.0))) == (4.0, [], ["late"])


def test_a_less_important_task_before_one_that_waits_is_out_of_order() -> None:
    high, low = enqueued("high", Promise(rank=0)), enqueued("low", Promise(rank=1), at=0.0)
    assert account(high, low, run("low", 2, 3), run("high", 3, 4)).out_of_order == 1
    assert account(high, low, run("high", 2, 9), run("low", 2.1, 3)).out_of_order == 0


def test_a_task_that_came_later_is_not_out_of_order() -> None:
    high, low = enqueued("high", Promise(rank=0), at=2.5), enqueued("low", Promise(rank=1))
    assert account(high, low, run("low", 2, 3), run("high", 3, 4)).out_of_order == 0


def test_more_attempts_than_allowed_are_counted() -> None:
    runs = [run("a", n, n + 0.5, attempt=n, how="ValueError") for n in (1, 2, 3)]
    found = account(enqueued("a", Promise(most=2)), *runs, dead=["a"])
    assert found.over_attempts == 1
    assert "over max_attempts" in wrong(found)


def test_an_innocent_in_the_dead_letters_is_buried_and_not_lost() -> None:
    found = account(enqueued("a"), enqueued("b", Promise(dies=True)), dead=["a", "b"])
    assert (set(found.buried), set(found.lost), wrong(found)) == ({"a"}, set(), ["buried innocents"])


def test_an_execution_of_what_no_enqueue_confirmed_is_unknown_and_not_wrong() -> None:
    found = account(run("a", 1, 2))
    assert (found.unknown, wrong(found)) == (1, [])


def test_a_slow_recovery_is_wrong() -> None:
    assert wrong(account(), Bounds(recovery=5.0), recovery=5.1) == ["recovery"]
    assert wrong(account(), Bounds(recovery=5.0), recovery=4.9) == []

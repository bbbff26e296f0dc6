"""Leases: renewed while a task runs, its own length from its start, and never used past their end."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from .bench import Bench, loses, slow, virtual
from .tasks import plain, separate
from .virtual import run


@virtual
async def test_a_lease_is_renewed_every_third_of_its_length() -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[95.0])
    worker = bench.hire(visibility_timeout=30.0)
    await bench.until(lambda: bench.ends("a") == ["done"], 100.0)
    await worker.retire()
    assert len(bench.calls(worker, "extend")) == 9
    assert len(bench.runs("a")) == 1
    assert bench.ledger.violations == []


@virtual
async def test_what_is_claimed_while_a_renewal_gets_no_answer_is_renewed_in_time() -> None:
    bench = Bench()
    bench.network.next["extend"] = [loses("request")]
    await bench.put(plain, "a", args=[3.0])
    worker = bench.hire(visibility_timeout=6.0)
    await bench.until(lambda: bench.calls(worker, "extend"), 3.0)
    await bench.put(plain, "b", args=[20.0])
    await bench.until(lambda: bench.ends("b") == ["done"], 30.0)
    assert len(bench.runs("b")) == 1
    await worker.retire()


@virtual
async def test_ten_minutes_on_a_lease_of_six_seconds_run_once_beside_an_idle_worker() -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[600.0])
    workers = [bench.hire(name, visibility_timeout=6.0) for name in ("w", "x")]
    await bench.until(lambda: bench.ends("a") == ["done"], 610.0)
    assert len(bench.runs("a")) == 1
    for worker in workers:
        await worker.retire()


@virtual
async def test_the_lease_that_a_task_asks_for_holds_before_it_starts() -> None:
    bench = Bench()
    await bench.put(plain.using(visibility_timeout=300.0), "a", args=[1.0])
    worker = bench.hire(visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("a"), 1.0)
    [row] = bench.server.rows.values()
    assert row.due > bench.now + 290.0
    await worker.retire()


@virtual
async def test_a_lease_shorter_than_the_workers_is_renewed_in_time() -> None:
    bench = Bench()
    await bench.put(plain.using(visibility_timeout=3.0), "a", args=[30.0])
    workers = [bench.hire(name, visibility_timeout=60.0) for name in ("w", "x")]
    await bench.until(lambda: bench.ends("a") == ["done"], 31.0)
    assert len(bench.runs("a")) == 1
    assert bench.ledger.violations == []
    for worker in workers:
        await worker.retire()


@virtual
async def test_a_task_whose_lease_was_lost_is_cancelled_and_writes_no_outcome() -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[50.0])
    frozen = bench.hire("frozen", visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("a"), 1.0)
    frozen.process.freeze()
    bench.ledger.troubled("frozen")
    other = bench.hire("other", visibility_timeout=6.0)
    await bench.until(lambda: len(bench.runs("a")) == 2, 7.0)
    frozen.process.thaw()
    await bench.until(lambda: bench.runs("a")[0].end == "CancelledError", 3.0)
    await bench.until(lambda: bench.ends("a") == ["done"], 60.0)
    assert bench.calls(frozen, "settle") == []
    await frozen.retire()
    await other.retire()


@virtual
async def test_nothing_starts_when_the_claim_came_back_later_than_the_lease_ends() -> None:
    bench = Bench()
    await bench.put(plain, "a")
    bench.network.next["dequeue"] = [slow(back=3.0)]
    worker = bench.hire(visibility_timeout=2.0)
    await bench.until(lambda: bench.ends("a") == ["done"], 5.0)
    assert len(bench.runs("a")) == 1
    assert bench.runs("a")[0].started > 3.0
    assert "without a lease" not in "".join(bench.ledger.violations)
    await worker.retire()


@virtual
async def test_a_renewal_that_is_refused_is_tried_again_at_the_next_third() -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[50.0])
    worker = bench.hire(visibility_timeout=30.0)
    bench.network.refused.add(("extend", "a"))
    await asyncio.sleep(11.0)  # virtual: past the first renewal
    bench.network.refused.clear()
    await bench.until(lambda: bench.ends("a") == ["done"], 60.0)
    assert len(bench.runs("a")) == 1
    await worker.retire()


@virtual
async def test_a_lease_that_could_not_be_lengthened_is_renewed_as_the_short_one_that_it_is() -> None:
    bench = Bench()
    await bench.put(plain.using(visibility_timeout=300.0), "a", args=[100.0])
    bench.network.refused.add(("extend", "a"))
    workers = [bench.hire(name, visibility_timeout=6.0) for name in ("w", "x")]
    await asyncio.sleep(0.1)  # virtual: past the start
    bench.network.refused.clear()
    await bench.until(lambda: bench.ends("a") == ["done"], 110.0)
    assert len(bench.runs("a")) == 1
    for worker in workers:
        await worker.retire()


@virtual
async def test_a_lease_that_is_passed_by_when_it_was_to_be_lengthened_stays_the_short_one_that_it_is() -> None:
    bench = Bench()
    await bench.put(plain.using(visibility_timeout=300.0), "a", "b", args=[100.0])
    bench.network.passed_by.add("a")
    workers = [bench.hire(name, visibility_timeout=6.0) for name in ("w", "x")]
    await bench.until(lambda: len(bench.ledger.executions) == 2, 1.0)
    bench.network.passed_by.clear()
    await bench.until(lambda: bench.ends("a", "b") == ["done"] * 2, 110.0)
    assert (len(bench.runs("a")), len(bench.runs("b"))) == (1, 1)
    for worker in workers:
        await worker.retire()
    assert bench.ledger.violations == []


@pytest.mark.parametrize(("seconds", "times"), [(1.0, 0), (3.0, 1)])
def test_a_lease_that_is_passed_by_once_is_not_spoken_of(
    seconds: float, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "asyncdq.worker"):
        run(passed_by_for(seconds))
    assert len([record for record in caplog.records if "could not be renewed" in record.getMessage()]) == times


async def passed_by_for(seconds: float) -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[10.0])
    worker = bench.hire(visibility_timeout=6.0)
    await asyncio.sleep(1.5)  # virtual: half a second before the first renewal
    bench.network.passed_by.add("a")
    await asyncio.sleep(seconds)  # virtual
    bench.network.passed_by.clear()
    await bench.until(lambda: bench.ends("a") == ["done"], 20.0)
    await worker.retire()


@virtual
async def test_a_lease_that_is_passed_by_until_it_ends_ends_no_other() -> None:
    bench = Bench()
    await bench.put(plain, "a", "b", args=[50.0])
    bench.network.passed_by.add("a")
    workers = [bench.hire(name, visibility_timeout=6.0) for name in ("w", "x")]
    await bench.until(lambda: len(bench.runs("a")) == 2, 20.0)
    bench.network.passed_by.clear()
    await bench.until(lambda: bench.ends("a", "b") == ["done"] * 2, 110.0)
    assert len(bench.runs("b")) == 1
    for worker in workers:
        await worker.retire()


@virtual
async def test_a_lease_that_is_lengthened_after_its_run_was_given_back_is_renewed_no_more() -> None:
    bench = Bench()
    await bench.put(plain.using(visibility_timeout=300.0), "a")
    bench.network.next["extend"] = [slow(out=7.0)]
    worker = bench.hire()
    await bench.until(lambda: bench.server.stats("default").leased == 1, 1.0)
    worker.stop(now=True)
    await worker.ended(10.0)
    await asyncio.sleep(10.0)  # virtual: the answer has come
    assert worker.process.unfinished == []


@virtual
async def test_a_renewal_under_way_does_not_shorten_the_lease_that_a_task_asked_for() -> None:
    bench = Bench()
    await bench.put(plain, "first", args=[400.0])
    worker = bench.hire(visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("first"), 1.0)
    await asyncio.sleep(1.9 - bench.now)  # virtual: shortly before the renewal at 2 s
    bench.network.next["extend"] = [slow(back=0.5)]
    await bench.put(plain.using(visibility_timeout=300.0), "a", args=[200.0])
    await bench.until(lambda: bench.ends("a", "first") == ["done", "done"], 500.0)
    assert len(bench.runs("a")) == 1
    assert bench.ledger.violations == []
    await worker.retire()


@virtual
async def test_nothing_starts_in_a_process_that_is_ready_only_after_the_lease_has_ended() -> None:
    random.seed(3)  # the process takes 0.8 s to start
    bench = Bench()
    await bench.put(separate, "a", args=[1.0])
    bench.network.next["dequeue"] = [slow(back=5.9)]
    worker = bench.hire(visibility_timeout=6.0, concurrency=1, claim_ahead=0)
    await bench.until(lambda: bench.ends("a") == ["done"], 15.0)
    assert "without a lease" not in "".join(bench.ledger.violations)
    await worker.retire()

"""How a worker ends: it drains, or gives back; it always ends, and leaves nothing that waits for a lease."""

from __future__ import annotations

import asyncio
import random

import pytest

from asyncdq.errors import ConnectionLost, TaskError
from asyncdq.events import Event, InProcessEmitter, TaskRetrying

from .bench import Bench, Hired, slow, virtual
from .seeds import each_world
from .tasks import plain, separate, stubborn, tidy
from .virtual import run


@virtual
async def test_the_first_stop_lets_running_tasks_finish_and_claims_no_more() -> None:
    bench = Bench()
    await bench.put(plain, *map(str, range(10)), args=[5.0])
    worker = bench.hire(concurrency=2)
    await bench.until(lambda: bench.runs("1"), 1.0)
    assert 4.0 < await worker.retire() < 5.1
    assert bench.ends(*map(str, range(10))) == ["done"] * 2 + [None] * 8
    assert bench.server.stats("default").ready == 8


@virtual
async def test_what_outlasts_the_grace_period_is_given_back_uncounted() -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[100.0])
    worker = bench.hire(grace_period=10.0)
    await bench.until(lambda: bench.runs("a"), 1.0)
    assert 9.9 < await worker.retire() < 10.1
    [row] = bench.server.rows.values()
    assert (row.token, row.attempt, row.lost) == (None, 1, 0)


@virtual
async def test_the_second_stop_cancels_what_is_running_and_gives_it_back() -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[100.0])
    worker = bench.hire()
    await bench.until(lambda: bench.runs("a"), 1.0)
    worker.stop()
    await asyncio.sleep(1.0)  # virtual: it drains
    worker.stop(now=True)
    assert await worker.ended(5.0) < 0.1
    assert bench.runs("a")[0].end == "CancelledError"
    assert bench.server.stats("default").ready == 1


@pytest.mark.parametrize("now", [False, True])
def test_a_stop_while_a_cancelled_task_ends_does_not_leave_it_behind(now: bool) -> None:
    async def main() -> None:
        bench = Bench()
        await bench.put(tidy, "a", args=[100.0, 2.0])
        worker = bench.hire(grace_period=1.0)
        await bench.until(lambda: bench.runs("a"), 1.0)
        worker.stop(now=not now)
        await asyncio.sleep(1.5)  # virtual: it is cancelled, and not over
        worker.stop(now=now)
        assert 0.4 < await worker.ended(5.0) < 1.6
        assert (bench.runs("a")[0].end, worker.worker.left_behind) == ("CancelledError", 0)
        assert bench.ledger.violations == []

    run(main())


@virtual
async def test_a_job_in_line_for_a_process_is_as_before_its_claim_when_it_is_given_back() -> None:
    bench, told = Bench(), list[type[Event]]()
    await bench.put(separate, "a", "b", args=[100.0])
    for row in bench.server.rows.values():
        row.lost = int(row.message.id == "b")
    emitter = InProcessEmitter(lambda event: told.append(type(event)))
    worker = bench.hire(concurrency=2, process_pool_size=1, emitters=[emitter])
    await bench.until(lambda: bench.runs("a") and bench.server.stats("default").leased == 2, 2.0)
    worker.stop(now=True)
    await worker.ended(5.0)
    assert [(row.lost, row.token) for row in bench.server.rows.values()] == [(0, None), (1, None)]
    assert told.count(TaskRetrying) == 1  # of the one that had begun


@virtual
async def test_cancelling_start_gives_everything_back_before_it_raises() -> None:
    bench = Bench()
    await bench.put(plain, "a", "b", "c", args=[100.0])
    worker = bench.hire(concurrency=2, claim_ahead=5)
    await bench.until(lambda: bench.server.stats("default").leased == 3, 1.0)
    worker.process.do(worker.working.cancel)
    assert await worker.ended(5.0) < 0.1
    assert worker.working.cancelled()
    assert bench.server.stats("default").ready == 3


@virtual
async def test_a_task_that_swallows_its_cancellation_is_left_behind_after_five_seconds() -> None:
    bench = Bench()
    await bench.put(stubborn, "a", args=[1000.0])
    worker = bench.hire(grace_period=1.0)
    await bench.until(lambda: bench.runs("a"), 1.0)
    assert 5.9 < await worker.retire() < 6.2
    assert worker.worker.left_behind == 1
    assert bench.server.stats("default").ready == 1


@virtual
async def test_a_stop_before_the_start_ends_it_at_once() -> None:
    bench = Bench()
    await bench.put(plain, "a")
    worker = Hired(bench, "w", None, {})
    worker.worker.stop()
    assert await worker.ended(1.0) < 0.1
    assert bench.calls(worker, "dequeue") == []


@virtual
async def test_a_second_start_is_refused_while_the_first_one_works() -> None:
    worker = Bench().hire()
    await asyncio.sleep(1.0)  # virtual: it works
    with pytest.raises(TaskError, match="started already"):
        await worker.worker.start(handle_signals=False)
    await worker.retire()


@virtual
async def test_a_worker_may_start_again_after_it_has_ended() -> None:
    bench = Bench()
    worker = bench.hire()
    await worker.retire()
    await bench.put(plain, "a")
    worker.working = worker.process.start(worker.worker.start(handle_signals=False))
    await bench.until(lambda: bench.ends("a") == ["done"], 5.0)
    await worker.retire()


@virtual
async def test_a_stop_while_the_server_was_never_up_ends_it_at_once() -> None:
    bench = Bench()
    bench.network.down = True
    worker = bench.hire()
    await asyncio.sleep(30.0)  # virtual: it tries to connect
    assert await worker.retire() < 0.1


@virtual
async def test_a_stop_while_the_server_is_down_ends_within_its_bounds() -> None:
    bench = Bench()
    await bench.put(plain, "a", args=[3.0])
    worker = bench.hire(grace_period=5.0)
    await bench.until(lambda: bench.runs("a"), 1.0)
    bench.network.down = True
    bench.server.wake()
    await asyncio.sleep(1.0)  # virtual: it notices
    with pytest.raises(ConnectionLost, match="last outcomes"):
        await worker.retire(5.0 + 10.0 + 4.0 + 0.1)
    assert bench.runs("a")[0].end == "returned"
    await asyncio.sleep(0)
    assert worker.process.unfinished == []


@virtual
async def test_a_worker_that_has_ended_leaves_no_asyncio_task() -> None:
    bench = Bench()
    await bench.put(plain, "a", "b", args=[3.0])
    worker = bench.hire(grace_period=1.0, visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("b"), 1.0)
    await worker.retire()
    await asyncio.sleep(0)
    assert worker.process.unfinished == []


def test_a_stop_between_claim_and_start_strands_nothing() -> None:
    each_world(100, _stopped_in_the_gap)


async def _stopped_in_the_gap(seed: int) -> None:
    """Stop at one moment around the claim: while it is asked, on its way back, at the start, or just after."""
    rng, bench = random.Random(seed), Bench()
    ids = [str(number) for number in range(rng.randint(1, 12))]
    call = plain.using(visibility_timeout=300.0) if rng.random() < 0.3 else plain
    await bench.put(call, *ids, args=[rng.choice([0.0, 50.0])])
    bench.network.next["dequeue"] = [slow(rng.uniform(0.001, 0.5), rng.uniform(0.001, 0.5))]
    worker = bench.hire(concurrency=rng.randint(1, 6), claim_ahead=rng.choice([None, 4]), grace_period=1.0)
    await asyncio.sleep(rng.uniform(0.0, 1.1))  # virtual: the moment
    if rng.random() < 0.2:
        worker.process.do(worker.working.cancel)
    else:
        worker.stop(now=rng.random() < 0.3)
    await worker.ended(3.0)
    assert bench.server.stats("default").leased == 0
    assert not bench.ledger.violations, "\n".join([*bench.ledger.violations, *bench.ledger.trace])
    assert worker.process.unfinished == []


@virtual
async def test_cancelling_the_start_twice_still_gives_everything_back() -> None:
    bench = Bench()
    await bench.put(stubborn, "a", args=[1000.0])
    worker = bench.hire(grace_period=5.0)
    await bench.until(lambda: bench.runs("a"), 1.0)
    worker.process.do(worker.working.cancel)
    await asyncio.sleep(1.0)  # virtual
    worker.process.do(worker.working.cancel)
    await worker.ended(100)
    await asyncio.sleep(0)
    assert bench.server.stats("default").leased == 0


@virtual
async def test_a_suspect_claimed_in_the_gap_is_not_started_after_the_stop() -> None:
    bench = Bench()
    await bench.put(plain.using(max_attempts=2), "a", args=[3.0])
    dead = bench.hire("dead", visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("a"), 1.0)
    dead.process.crash()
    await asyncio.sleep(6.0)  # virtual
    bench.network.next["dequeue"] = [slow(out=0.001, back=0.5)]
    w = bench.hire("heir", visibility_timeout=6.0)
    await asyncio.sleep(0.2)  # virtual
    w.stop()
    await w.ended(20)
    await dead.bury()
    assert len(bench.runs("a")) == 1

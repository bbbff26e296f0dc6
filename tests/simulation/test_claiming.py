"""What a worker claims, and what it leaves to others: claim-ahead, suspects, max_tasks, burst, priorities."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from asyncdq.message import Message

from .bench import Bench, limited, slow, virtual
from .tasks import failing, killer, plain, separate, snoozing
from .virtual import run


def numbered(name: str, count: int) -> list[str]:
    """So many ids."""
    return [f"{name}{number}" for number in range(count)]


@virtual
async def test_what_was_claimed_ahead_of_ten_minute_tasks_runs_elsewhere_within_two_seconds() -> None:
    bench, short = Bench(), numbered("short", 100)
    await bench.put(plain, *numbered("long", 10), args=[600.0])
    busy = bench.hire("busy", concurrency=10, claim_ahead=100)
    await bench.put(plain, *short)
    await bench.until(lambda: len(bench.server.rows) == 110 and bench.server.stats("default").leased == 110, 1.0)
    idle = bench.hire("idle")
    await bench.until(lambda: bench.ends(*short) == ["done"] * 100, 2.0)
    assert bench.ledger.violations == []
    for worker in (busy, idle):
        worker.stop(now=True)
        await worker.ended(5.0)


@virtual
async def test_after_giving_back_nothing_is_claimed_ahead_until_the_slots_turn_over() -> None:
    bench = Bench()
    await bench.put(plain, "long", args=[60.0])
    worker = bench.hire(concurrency=1, claim_ahead=5)
    await bench.until(lambda: bench.runs("long"), 1.0)
    await bench.put(plain, *numbered("short", 5))
    await bench.until(lambda: bench.server.stats("default").leased == 6, 1.0)
    await bench.until(lambda: bench.server.stats("default").leased == 1, 1.5)
    asked = len(bench.calls(worker, "dequeue"))
    await asyncio.sleep(20.0)  # virtual: nobody may claim meanwhile
    assert len(bench.calls(worker, "dequeue")) == asked
    await bench.until(lambda: not bench.server.rows, 60.0)
    await worker.retire()


@virtual
async def test_short_tasks_are_claimed_ahead_by_themselves_and_long_ones_are_not() -> None:
    bench = Bench()
    await bench.put(plain, *numbered("short", 50), args=[0.001])
    worker = bench.hire(concurrency=5)
    await bench.until(lambda: not bench.server.rows, 5.0)
    assert max(bench.calls(worker, "dequeue")) > 5
    await bench.put(plain, *numbered("long", 120), args=[0.1])
    await bench.until(lambda: not bench.server.rows, 10.0)
    assert max(bench.calls(worker, "dequeue")[-20:]) <= 5
    await worker.retire()


@virtual
async def test_what_little_a_worker_had_to_do_bounds_nothing_when_much_comes() -> None:
    bench, many = Bench(limits=limited(batch=1_000, keeps_sent=8)), numbered("many", 1_000)
    bench.network.slowest = 0.001
    worker = bench.hire()
    for single in numbered("single", 3):
        await bench.put(plain, single, args=[0.005])  # it ends when the claim that found no second one is answered
        await bench.until(lambda: not bench.server.rows, 1.0)
        await asyncio.sleep(1.0)  # virtual
    asked, began = len(bench.calls(worker, "dequeue")), bench.now
    await asyncio.gather(*(bench.put(plain, id) for id in many))
    await bench.until(lambda: not bench.server.rows, 5.0)
    assert bench.now - began < 0.1
    assert len(bench.calls(worker, "dequeue")) - asked < 25  # by its slots alone it would be a hundred
    await worker.retire()


@virtual
async def test_of_many_slots_those_that_are_free_in_a_moment_are_claimed_for() -> None:
    bench = Bench()
    await bench.put(plain, *numbered("n", 3000), args=[0.1])
    worker = bench.hire(concurrency=200)
    await bench.until(lambda: len(bench.server.rows) < 1000, 5.0)
    in_hand = sum(row.token is not None for row in bench.server.rows.values())
    assert 200 < in_hand <= 230
    await worker.retire()


@virtual
async def test_a_killer_is_buried_and_its_hundred_neighbours_are_not() -> None:
    bench, innocent = Bench(), numbered("n", 109)
    await bench.put(killer.using(max_attempts=3), "killer", args=[0.0])
    await bench.put(plain.using(max_attempts=3), *innocent, args=[0.5])
    hired = [bench.hire("w0", concurrency=10, claim_ahead=100, visibility_timeout=6.0)]
    while bench.server.rows:
        if hired[-1].process.dead:
            hired.append(bench.hire(f"w{len(hired)}", concurrency=10, claim_ahead=100, visibility_timeout=6.0))
        await asyncio.sleep(0.1)  # virtual
    assert bench.ends("killer") == ["lost"]
    assert bench.ends(*innocent) == ["done"] * 109
    assert len(hired) == 4
    await hired.pop().retire()
    for dead in hired:
        await dead.bury()


@virtual
async def test_suspects_run_one_at_a_time() -> None:
    bench, ids = Bench(), numbered("s", 6)
    await bench.put(plain.using(max_attempts=2), *ids, args=[3.0])
    dead = bench.hire("dead", concurrency=6, visibility_timeout=6.0)
    await bench.until(lambda: all(map(bench.runs, ids)), 1.0)
    dead.process.crash()
    heir = bench.hire("heir", concurrency=6, visibility_timeout=6.0)
    await bench.until(lambda: bench.ends(*ids) == ["done"] * 6, 60.0)
    second = sorted(bench.runs(id)[1].started for id in ids)
    assert all(later - earlier >= 3.0 for earlier, later in pairwise(second))
    await heir.retire()
    await dead.bury()


@pytest.mark.parametrize("concurrency", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("ahead", [None, 0, 20])
def test_max_tasks_is_exact(concurrency: int, ahead: int | None) -> None:
    async def main() -> None:
        bench, ids = Bench(), numbered("t", 60)
        await bench.put(failing, *ids, args=[1, 0.01])
        worker = bench.hire(concurrency=concurrency, claim_ahead=ahead, max_tasks=37)
        await worker.ended(100.0)
        assert sum(len(bench.runs(id)) for id in ids) == 37
        assert bench.ledger.violations == []

    run(main())


@virtual
async def test_what_is_lost_before_it_has_begun_is_none_of_max_tasks() -> None:
    bench, ids = Bench(), numbered("t", 6)
    await bench.put(plain, *ids, args=[3.0])
    worker = bench.hire("w", concurrency=1, claim_ahead=2, max_tasks=3, visibility_timeout=1.5)
    await bench.until(lambda: bench.server.stats("default").leased == 3, 1.0)
    bench.ledger.troubled("w")
    for row in bench.server.rows.values():
        row.token = row.token if bench.runs(row.message.id) else None  # as a broker that has lost its connection
    await worker.ended(30.0)
    assert sum(len(bench.runs(id)) for id in ids) == 3


@virtual
async def test_jobs_that_wait_for_a_process_say_nothing_of_how_fast_slots_turn_over() -> None:
    bench = Bench()
    await bench.put(separate, *numbered("j", 200), args=[10.0])
    worker = bench.hire(concurrency=50, process_pool_size=2)
    await asyncio.sleep(20.0)  # virtual: all but two are given back, again and again
    assert max(bench.calls(worker, "dequeue")) <= 50
    await worker.retire()


@virtual
async def test_what_cannot_be_run_is_none_of_max_tasks() -> None:
    bench = Bench()
    async with bench.driver("stranger") as stranger:
        await stranger.enqueue([Message("bad", "default", b"no envelope")])
    await bench.put(plain, "good", args=[0.1])
    await bench.hire(max_tasks=1).ended(5.0)
    assert bench.ends("bad", "good") == ["undecodable", "done"]


@virtual
async def test_tiny_tasks_are_claimed_by_the_handful_by_a_worker_with_one_slot() -> None:
    bench = Bench()
    await bench.put(plain, *numbered("tiny", 500), args=[0.0])
    worker = bench.hire(concurrency=1)
    await bench.until(lambda: not bench.server.rows, 5.0)
    asked = bench.calls(worker, "dequeue")
    assert asked[0] == 1
    assert min(asked[2:5]) >= 32
    await worker.retire()


@virtual
async def test_two_workers_with_max_tasks_share_exactly() -> None:
    bench, ids = Bench(), numbered("t", 60)
    await bench.put(plain, *ids, args=[0.3])
    workers = [bench.hire(name, concurrency=4, claim_ahead=8, max_tasks=20) for name in ("w", "x")]
    for worker in workers:
        await worker.ended(100.0)
    assert sum(len(bench.runs(id)) for id in ids) == 40
    assert bench.ledger.violations == []


@virtual
async def test_a_burst_ends_when_the_queues_are_empty_and_leaves_what_is_delayed() -> None:
    bench, ids = Bench(), numbered("t", 30)
    await bench.put(plain, *ids, args=[0.2])
    await bench.put(plain.using(delay=100.0), "later")
    worker = bench.hire(burst=True, concurrency=4)
    took = await worker.ended(10.0)
    assert bench.ends(*ids) == ["done"] * 30
    assert bench.ends("later") == [None]
    assert took < 3.0


@virtual
async def test_a_burst_runs_what_becomes_ready_again_at_once() -> None:
    bench = Bench()
    await bench.put(snoozing, "a", args=[5, 0.0])
    await bench.hire(burst=True).ended(10.0)
    assert bench.ends("a") == ["done"]


@virtual
async def test_a_burst_does_not_end_on_a_claim_that_was_overtaken_by_a_retry() -> None:
    bench = Bench()
    await bench.put(plain, "first", args=[1.0])
    await bench.put(failing.using(retry_delay=0.0), "again", args=[1, 1.1])
    worker = bench.hire(burst=True)
    await bench.until(lambda: bench.runs("again"), 0.5)
    bench.network.next["dequeue"] = [slow(back=0.5)]  # asked when the first one ends, answered after the retry
    await worker.ended(10.0)
    assert bench.ends("again") == ["done"]


@virtual
async def test_a_burst_on_empty_queues_ends_at_once() -> None:
    assert await Bench().hire(burst=True).ended(1.0) < 0.1


@virtual
async def test_an_earlier_queue_always_comes_first() -> None:
    bench = Bench(limits=limited(claim_ahead=False))
    await bench.put(plain.using(queue="low"), *numbered("low", 10), args=[1.0])
    worker = bench.hire(queues=("high", "low"), concurrency=1)
    await bench.until(lambda: bench.runs("low0"), 1.0)
    await bench.put(plain.using(queue="high"), *numbered("high", 5), args=[1.0])
    await bench.until(lambda: not bench.server.rows, 20.0)
    order = sorted((run.started, id) for id, [run] in bench.ledger.executions.items())
    assert [id for _, id in order[:6]] == ["low0", *numbered("high", 5)]
    await worker.retire()


@virtual
async def test_what_cannot_be_run_takes_room_until_it_is_buried() -> None:
    bench, bad = Bench(), numbered("bad", 40)
    async with bench.driver("stranger") as stranger:
        await stranger.enqueue([Message(id, "default", b"no envelope") for id in bad])
    bench.network.next["settle"] = [slow(5.0)]
    worker = bench.hire(concurrency=4, claim_ahead=0)
    await bench.until(lambda: bench.server.stats("default").leased, 1.0)
    await asyncio.sleep(2.0)  # virtual: time to claim all of them
    assert bench.server.stats("default").leased == 4
    await bench.until(lambda: bench.server.stats("default").dead == 40, 10.0)
    await worker.retire()


async def begun_while_an_outcome_is_on_its_way(keeps_sent: int) -> int:
    bench, ids = Bench(limits=limited(keeps_sent=keeps_sent)), numbered("n", 60)
    await bench.put(plain, *ids, args=[0.02])
    worker = bench.hire(concurrency=1)
    await bench.until(lambda: len(bench.server.rows) < 30, 10.0)
    bench.network.next["settle"] = [slow(out=2.0)]
    begun = [sum(len(bench.runs(id)) for id in ids)]
    await bench.until(lambda: not bench.network.next["settle"], 1.0)
    await asyncio.sleep(1.0)  # virtual: the outcome is on its way
    begun.append(sum(len(bench.runs(id)) for id in ids))
    await bench.until(lambda: not bench.server.rows, 10.0)
    await worker.retire()
    return begun[1] - begun[0]


def test_a_slot_is_free_when_its_outcome_is_written_or_sent_where_what_was_sent_is_kept() -> None:
    written, sent = (run(begun_while_an_outcome_is_on_its_way(keeps)) for keeps in (0, 1))
    assert written == 0 < sent

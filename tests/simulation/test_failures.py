"""Tasks that fail, hang or misbehave, and servers that go away: the worker goes on."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from itertools import pairwise

import pytest

from asyncdq import Client, task
from asyncdq.message import Message, Unstarted

from .bench import ANY_END, Bench, Hired, limited, loses, slow, virtual
from .records import Promise
from .tasks import endless, exiting, failing, killer, plain, stubborn, tidy, work, written
from .virtual import run


@task(name="simulation.impatient", max_attempts=2, retry_delay=0, timeout=5)
async def impatient() -> None:
    """Runs into a timeout of its own."""
    with written():
        async with asyncio.timeout(1):
            await work(3.0)


@virtual
async def test_after_two_hundred_failures_in_a_row_the_next_task_runs() -> None:
    bench, ids = Bench(), [f"f{number}" for number in range(200)]
    await bench.put(failing.using(max_attempts=1), *ids, args=[9])
    await bench.put(plain, "last")
    worker = bench.hire()
    await bench.until(lambda: not bench.server.rows, 10.0)
    assert bench.ends(*ids, "last") == [*["attempts"] * 200, "done"]
    await worker.retire()


@virtual
async def test_a_failed_task_waits_longer_after_each_attempt() -> None:
    bench = Bench()
    await bench.put(failing, "a", args=[3])
    worker = bench.hire()
    await bench.until(lambda: bench.ends("a") == ["done"], 10.0)
    starts = [run.started for run in bench.runs("a")]
    gaps = [round(later - earlier, 1) for earlier, later in pairwise(starts)]
    assert [low <= gap <= high for gap, low, high in zip(gaps, (0.5, 1, 2), (1.1, 2.1, 4.1), strict=True)] == [True] * 3
    await worker.retire()


@virtual
async def test_system_exit_in_a_task_is_a_failure_of_that_task_alone() -> None:
    bench = Bench()
    await bench.put(plain, "neighbour", args=[20.0])
    await bench.put(exiting, "a")
    worker = bench.hire()
    await bench.until(lambda: bench.ends("a", "neighbour") == ["attempts", "done"], 30.0)
    assert len(bench.runs("a")) == 4
    await worker.retire()


@virtual
async def test_a_timeout_ends_each_attempt() -> None:
    bench = Bench()
    await bench.put(endless, "a")
    worker = bench.hire()
    await bench.until(lambda: bench.ends("a") == ["attempts"], 60.0)
    assert [round((run.ended or 0.0) - run.started) for run in bench.runs("a")] == [2] * 4
    assert "TaskTimeout" in bench.server.dead["default", "a"].error
    await worker.retire()


@virtual
async def test_a_swallowed_timeout_holds_its_slot_and_its_lease_until_the_task_really_ends() -> None:
    bench = Bench()
    await bench.put(stubborn, "a", args=[100.0])
    await bench.put(plain, "next")
    workers = [bench.hire("w", concurrency=1, visibility_timeout=6.0, claim_ahead=0)]
    await bench.until(lambda: bench.runs("a"), 1.0)
    await asyncio.sleep(50.0)  # virtual: long past its timeout of 2 s
    assert not bench.runs("next")
    assert bench.server.stats("default").leased == 1
    await bench.until(lambda: bench.ends("a", "next") == ["done", "done"], 60.0)
    assert [run.attempt for run in bench.runs("a")] == [1, 2]
    assert bench.ledger.violations == []
    await workers[0].retire()


@virtual
async def test_what_a_task_does_after_its_timeout_is_waited_for() -> None:
    bench = Bench()
    await bench.put(tidy.using(max_attempts=1, timeout=5), "a", args=[100.0, 2.0])
    worker = bench.hire()
    await bench.until(lambda: bench.ends("a") == ["attempts"], 10.0)
    assert 6.9 < (bench.runs("a")[0].ended or 0.0) - bench.runs("a")[0].started < 7.1
    await worker.retire()


@virtual
async def test_a_timeout_error_of_the_tasks_own_is_an_ordinary_failure() -> None:
    bench = Bench()
    await bench.put(impatient, "a")
    worker = bench.hire()
    await bench.until(lambda: bench.ends("a") == ["attempts"], 10.0)
    assert bench.server.dead["default", "a"].error == "TimeoutError"
    await worker.retire()


@virtual
async def test_no_task_runs_longer_than_the_backend_lets_it_be_held() -> None:
    bench = Bench(limits=limited(hold=60.0))
    await bench.put(plain.using(max_attempts=1), "a", args=[1000.0])
    await bench.put(plain.using(max_attempts=1, timeout=500.0), "b", args=[1000.0])
    worker = bench.hire()
    await bench.until(lambda: bench.ends("a", "b") == ["attempts"] * 2, 61.0)
    assert bench.now > 60.0
    await worker.retire()


@virtual
async def test_a_server_that_comes_up_late_is_used_within_five_seconds() -> None:
    bench = Bench()
    await bench.put(plain, "a")
    bench.network.down = True
    worker = bench.hire()
    await asyncio.sleep(60.0)  # virtual: it tries to connect
    bench.network.down = False
    await bench.until(lambda: bench.ends("a") == ["done"], 5.0 + 4.0)
    await worker.retire()


@virtual
async def test_a_server_that_was_away_is_used_again_and_nothing_ran_twice() -> None:
    bench, ids = Bench(), [f"t{number}" for number in range(10)]
    await bench.put(plain, *ids, args=[5.0])
    worker = bench.hire(concurrency=5)
    await bench.until(lambda: bench.runs("t4"), 1.0)
    bench.network.down = True
    bench.server.wake()
    await asyncio.sleep(20.0)  # virtual: five end meanwhile
    bench.network.down = False
    await bench.until(lambda: bench.ends(*ids) == ["done"] * 10, 20.0)
    assert [len(bench.runs(id)) for id in ids] == [1] * 10
    await worker.retire()


@virtual
async def test_a_claim_whose_reply_was_lost_runs_when_its_lease_has_ended() -> None:
    bench = Bench()
    await bench.put(plain, "a")
    bench.network.next["dequeue"] = [loses("reply")]
    worker = bench.hire(visibility_timeout=6.0)
    await bench.until(lambda: bench.ends("a") == ["done"], 7.0)
    assert len(bench.runs("a")) == 1
    await worker.retire()


@virtual
async def test_an_outcome_that_the_server_refuses_stops_no_other_and_its_task_runs_again() -> None:
    bench = Bench()
    await bench.put(plain, "bad", "good")
    bench.network.refused.add(("settle", "bad"))
    worker = bench.hire(visibility_timeout=6.0)
    await bench.until(lambda: bench.ends("good") == ["done"], 1.0)
    bench.network.refused.clear()
    bench.ledger.troubled("w")  # it is to lose this one lease
    await bench.until(lambda: bench.ends("bad") == ["done"], 7.0)
    assert len(bench.runs("bad")) == 2
    await worker.retire()


@virtual
async def test_a_body_that_nobody_can_read_is_buried_at_once() -> None:
    bench = Bench()
    async with bench.driver("producer") as producer:
        await producer.enqueue([Message("junk", "default", b"\xff")])
    worker = bench.hire()
    await bench.until(lambda: bench.server.dead, 1.0)
    assert bench.server.dead["default", "junk"].reason == "undecodable"
    await worker.retire()


@virtual
async def test_a_worker_that_crashed_at_any_step_costs_its_tasks_one_lease() -> None:
    for step in range(1, 60):
        bench, first = Bench(), f"w{step}"
        await bench.put(plain, "a", "b", args=[0.1])
        dead = bench.hire(first, crash_at=step, visibility_timeout=6.0)
        await asyncio.sleep(1.0)  # virtual: it lives through its steps
        heir = bench.hire("heir", visibility_timeout=6.0)
        await bench.until(partial(_all_done, bench), 8.0)
        assert bench.ledger.violations == []
        for worker in (dead, heir):
            await worker.bury()


@virtual
async def test_a_task_that_always_kills_its_worker_is_buried_with_a_reason() -> None:
    bench = Bench()
    await bench.put(killer, "a", args=[0.0])
    hired: list[Hired] = []
    while bench.server.rows:
        hired.append(bench.hire(f"w{len(hired)}", visibility_timeout=6.0))
        await bench.until(lambda: hired[-1].process.dead or not bench.server.rows, 10.0)
    assert bench.ends("a") == ["lost"]
    assert "died or lost their lease" in bench.server.dead["default", "a"].error
    for worker in hired:
        await worker.bury()


def _all_done(bench: Bench) -> bool:
    return not bench.server.rows


class Full(logging.Handler):
    """A handler of the user's, with an error that it does not handle."""

    def emit(self, record: logging.LogRecord) -> None:
        """Whatever becomes of the task."""
        raise OSError(f"no space left for {record.getMessage()}")


def test_a_log_handler_that_raises_costs_no_lease_and_no_slot(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        bench = Bench()
        await bench.put(plain, "lost", args=[9.0])
        bench.network.next["dequeue"] = [loses("request")]
        worker = bench.hire("frozen", concurrency=1, claim_ahead=1, max_tasks=2, visibility_timeout=3.0)
        await bench.until(lambda: bench.runs("lost"), 9.0)
        worker.process.freeze()
        bench.ledger.troubled("frozen")
        await asyncio.sleep(4.0)  # virtual: its lease ends
        async with bench.driver("other") as other:
            held = await other.dequeue({"default": 1}, 1, 60.0)
            await bench.put(plain, "a", args=[9.0])
            worker.process.thaw()
            await worker.ended(20.0)
            await other.settle([(delivery, Unstarted()) for delivery in held])
        assert bench.ends("a") == ["done"]
        assert len(bench.runs("a")) == 1

    handler, journal = Full(), logging.getLogger("asyncdq.worker")
    handler.addFilter(lambda record: getattr(record, "task_id", "") in ("lost", "a") or "connect" in record.msg)
    journal.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, journal.name):
            run(main())
    finally:
        journal.removeHandler(handler)
    told = capsys.readouterr().err
    assert "no space left for connection lost" in told
    assert "no space left for connected again" in told
    assert "no space left for task_lease_lost simulation.plain lost" in told
    assert "no space left for task_completed simulation.plain a" in told


@virtual
async def test_a_client_is_closed_though_who_closes_it_is_cancelled() -> None:
    bench = Bench()
    bench.network.next["enqueue"] = [slow(out=2.0)]
    client = Client(driver := bench.driver("client"))
    await client.open()
    storing = asyncio.create_task(client.enqueue(plain.using(id="a")))
    bench.ledger.promised("a", Promise(ANY_END, 4, False), 0.0)
    await asyncio.sleep(0.1)  # virtual: it is under way
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await client.close()
    assert not driver.connected
    await asyncio.wait([storing])

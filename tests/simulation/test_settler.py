"""Outcomes on their way: merged, repeated after a lost connection, split after any other error."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asyncdq.errors import Blocked, ConnectionLost
from asyncdq.message import Delivery, Done, Message, Outcome
from asyncdq.worker.outage import Outage
from asyncdq.worker.settler import AT_ONCE, Settled, Settler

from .bench import Bench, later, limited, loses, slow, virtual
from .scripted import ScriptedDriver
from .tasks import plain
from .virtual import run


async def held(bench: Bench, *ids: str) -> tuple[ScriptedDriver, list[Delivery]]:
    """A driver that holds these messages."""
    driver = bench.driver("w")
    await driver.connect()
    await driver.enqueue([Message(id, "work", b"") for id in ids])
    return driver, await driver.dequeue({"work": 100}, 100, 60.0)


async def settled(settler: Settler, deliveries: list[Delivery], outcome: Outcome | None = None) -> dict[str, Settled]:
    """What became of these, by id."""
    results: dict[str, Settled] = {}

    def put(delivery: Delivery) -> None:
        settler.put(delivery, outcome or Done(), lambda result: results.update({delivery.id: result}))

    for delivery in deliveries:
        put(delivery)
    await settler.drain(100.0)
    return results


async def hurried(settler: Settler, deliveries: list[Delivery]) -> None:
    """Put in one after the other, each with time to go out, while tasks wait for slots."""
    for delivery in deliveries:
        settler.put(delivery, Done(), lambda _: None)
        settler.hurry(1)
        for _ in range(5):
            await asyncio.sleep(0)


def batches(driver: ScriptedDriver) -> list[list[str]]:
    """The ids of each call of `settle`."""
    calls: list[Any] = [what for verb, what in driver.calls if verb == "settle"]
    return [[delivery.id for delivery, _ in batch] for batch in calls]


@virtual
async def test_what_piles_up_during_a_trip_goes_out_together_with_the_next() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, "a", "b", "c", "d")
    bench.network.next["settle"] = [slow(out=1.0)]
    settler = Settler(driver, Outage())
    first = asyncio.create_task(settled(settler, deliveries[:1]))
    await bench.until(lambda: batches(driver), 1.0)
    await settled(settler, deliveries[1:])
    await first
    assert batches(driver) == [["a"], ["b", "c", "d"]]


@pytest.mark.parametrize(("keeps_sent", "most"), [(0, 1), (1, 1), (2, 2), (99, AT_ONCE)])
def test_trips_go_side_by_side_and_free_their_slots_where_the_driver_tells_that_they_are_on_their_way(
    keeps_sent: int, most: int
) -> None:
    run(side_by_side(keeps_sent, most))


async def side_by_side(keeps_sent: int, most: int) -> None:
    bench = Bench(limits=limited(keeps_sent=keeps_sent))
    driver, deliveries = await held(bench, *map(str, range(AT_ONCE + 5)))
    settler = Settler(driver, Outage())
    await settled(settler, deliveries[:1])
    await hurried(settler, deliveries[1:])
    assert batches(driver)[1:] == [[delivery.id] for delivery in deliveries[1 : 1 + most]]
    assert settler.unsent == len(deliveries) - 1 - (most if keeps_sent else 0)  # the last ones wait
    await settler.drain(1.0)
    assert settler.unsent == 0


@virtual
async def test_after_a_lost_trip_the_next_ones_go_one_by_one_until_the_driver_tells_again() -> None:
    bench = Bench(limits=limited(keeps_sent=2))
    driver, deliveries = await held(bench, "a", "b", "c", "d")
    settler = Settler(driver, Outage())
    bench.network.next["settle"] = [loses("request")]
    await settled(settler, deliveries[:1])
    await hurried(settler, deliveries[1:])
    assert batches(driver) == [["a"], ["a"], ["b"], ["c"]]  # of "b" it has told, so "c" goes beside it
    await settler.drain(1.0)
    assert batches(driver)[-1] == ["d"]


@virtual
async def test_slots_are_freed_once_though_a_trip_is_repeated() -> None:
    bench = Bench(limits=limited(keeps_sent=1))
    driver, deliveries = await held(bench, "a", "b")
    bench.network.next["settle"] = [loses("request"), loses("reply")]
    bench.network.refused.add(("settle", "b"))
    settler, heard = Settler(driver, Outage()), list[int]()
    settler.on_sent = lambda: heard.append(settler.unsent)
    await settled(settler, deliveries)
    assert heard == [0, 1, 0]  # the batch was on its way; then each was written by itself


@virtual
async def test_a_request_that_is_lost_is_sent_again_with_the_whole_batch() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, "a", "b")
    bench.network.next["settle"] = [loses("request"), loses("request")]
    results = await settled(Settler(driver, Outage()), deliveries)
    assert results == {"a": Settled.WRITTEN, "b": Settled.WRITTEN}
    assert batches(driver) == [["a", "b"]] * 3


@virtual
async def test_after_a_lost_reply_nobody_can_know_whether_the_outcome_counted() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, "a", "b")
    bench.network.next["settle"] = [loses("reply")]
    results = await settled(Settler(driver, Outage()), deliveries)
    assert results == {"a": Settled.UNSURE, "b": Settled.UNSURE}
    assert not bench.server.rows


@virtual
async def test_an_outcome_that_is_refused_fails_alone() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, "a", "b", "c")
    bench.network.refused.add(("settle", "b"))
    results = await settled(Settler(driver, Outage()), deliveries)
    assert results == {"a": Settled.WRITTEN, "b": Settled.FAILED, "c": Settled.WRITTEN}
    assert [id for _, id in bench.server.rows] == ["b"]


@virtual
async def test_the_outcome_of_a_delivery_that_somebody_else_has_is_lost() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, "a", "b")
    await asyncio.sleep(61.0)  # virtual: the leases end
    async with bench.driver("other") as other:
        await other.dequeue({"work": 1}, 1, 60.0)
    results = await settled(Settler(driver, Outage()), deliveries)
    assert results == {"a": Settled.LOST, "b": Settled.WRITTEN}


@virtual
async def test_a_drain_gives_up_while_the_server_is_down() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, "a")
    bench.network.down = True
    settler = Settler(driver, Outage())
    settler.put(deliveries[0], Done(), lambda result: None)
    assert not await settler.drain(10.0)
    assert bench.now < 10.1


@pytest.mark.parametrize("error", [Blocked, ConnectionLost])
def test_an_outcome_that_is_held_up_holds_up_no_other(
    error: type[ConnectionLost], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "asyncdq.worker"):
        run(held_up(error))
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "outcomes are held up, though others go through" in text]) == 1
    assert "are written" in said.pop()
    assert len(said) == 1 if error is Blocked else len(said) < 8  # at first it may be the connection


async def held_up(error: type[ConnectionLost]) -> None:
    bench = Bench()
    await bench.put(plain, *"abcde")
    bench.network.locked.update({("settle", "b"): error, ("settle", "d"): error})
    worker = bench.hire(concurrency=10)
    others = [f"other-{number}" for number in range(20)]
    for id in others:
        await bench.put(plain, id)
        await asyncio.sleep(0.2)  # virtual: each is claimed by itself
    assert bench.ends(*"abcde", *others) == ["done", None, "done", None, "done", *["done"] * len(others)]
    del bench.network.locked["settle", "d"]
    await bench.until(lambda: all(bench.ends("d")), 1.0)
    assert bench.ends("b") == [None]
    bench.network.locked.clear()
    await worker.retire()
    assert bench.ends("b") == ["done"]
    assert {len(bench.runs(id)) for id in (*"abcde", *others)} == {1}


@virtual
async def test_an_outcome_that_is_blocked_holds_up_nobody_though_it_leaves_no_slot_for_a_claim() -> None:
    bench = Bench()
    await bench.put(plain, *"abcd")
    bench.network.locked["settle", "b"] = Blocked
    worker = bench.hire(concurrency=2)
    await bench.until(lambda: all(bench.ends(*"acd")), 1.0)
    bench.network.locked.clear()
    await worker.retire()
    assert bench.ends("b") == ["done"]


def test_of_a_batch_with_a_refused_outcome_the_one_that_is_held_up_is_said_and_written_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "asyncdq.worker"):
        run(refused_and_held_up())
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "a",
        "outcomes are held up, though others go through",
        "the outcomes that were held up are written",
    ]


async def refused_and_held_up() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, *"abc")
    bench.network.refused.add(("settle", "a"))
    bench.network.locked["settle", "b"] = Blocked
    await later(2.0, bench.network.locked.clear)
    results = await settled(Settler(driver, Outage()), deliveries)
    assert results == {"a": Settled.FAILED, "b": Settled.WRITTEN, "c": Settled.WRITTEN}
    assert 2.0 < bench.now < 3.0


@virtual
async def test_a_worker_whose_slots_are_held_up_takes_nothing_from_the_others() -> None:
    bench = Bench()
    await bench.put(plain, "a", "b")
    bench.network.locked.update({("settle", id): Blocked for id in "ab"})
    worker = bench.hire("w", concurrency=2)
    await bench.until(lambda: len(bench.ledger.executions) == 2, 1.0)
    other = bench.hire("x", concurrency=2)
    for number in range(20):
        await bench.put(plain, f"{number}")
        await bench.until(lambda: all(bench.ends(f"{number}")), 0.1)  # noqa: B023 - at once
    bench.network.locked.clear()
    await worker.retire()
    await other.retire()
    assert bench.ends("a", "b") == ["done", "done"]


@virtual
async def test_what_is_held_up_keeps_its_slots() -> None:
    bench = Bench()
    ids = [f"{number}" for number in range(30)]
    await bench.put(plain, *ids)
    bench.network.locked.update({("settle", id): Blocked for id in ids})
    worker = bench.hire(concurrency=10)
    await asyncio.sleep(20.0)  # virtual
    assert len(bench.ledger.executions) == 10
    bench.network.locked.clear()
    await bench.until(lambda: all(bench.ends(*ids)), 5.0)
    await worker.retire()


@virtual
async def test_a_drain_waits_for_what_is_held_up_and_gives_up_in_the_end() -> None:
    bench = Bench()
    driver, deliveries = await held(bench, "a", "b")
    bench.network.locked["settle", "a"] = Blocked
    settler, results = Settler(driver, Outage()), list[Settled]()
    for delivery in deliveries:
        settler.put(delivery, Done(), results.append)
    assert not await settler.drain(3.0)
    assert bench.now < 3.1
    assert results == [Settled.WRITTEN]
    assert settler.unsent == 1

"""Outcomes on their way: merged, repeated after a lost connection, split after any other error."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncdq.message import Delivery, Done, Message, Outcome
from asyncdq.worker.outage import Outage
from asyncdq.worker.settler import WARM, Settled, Settler

from .bench import Bench, limited, loses, slow, virtual
from .scripted import ScriptedDriver


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


@virtual
async def test_a_trip_beside_another_frees_its_slots_at_once_when_such_trips_have_gone_well() -> None:
    bench = Bench(limits=limited(keeps_sent=2))
    driver, deliveries = await held(bench, *map(str, range(2 * WARM + 2)))
    settler, unsent = Settler(driver, Outage()), list[int]()
    for delivery in deliveries[:WARM]:
        await settled(settler, [delivery])
    for first, second in zip(deliveries[WARM::2], deliveries[WARM + 1 :: 2], strict=True):
        for delivery in first, second:
            settler.put(delivery, Done(), lambda _: None)
            settler.hurry(1)
            for _ in range(5):
                await asyncio.sleep(0)
        unsent.append(settler.unsent)
        await settler.drain(1.0)
    assert [len(batch) for batch in batches(driver)] == [1] * len(deliveries)
    assert unsent == [1] * (WARM // 2) + [0]


@virtual
async def test_no_more_trips_free_their_slots_than_the_backend_sends_side_by_side() -> None:
    bench = Bench(limits=limited(keeps_sent=1))
    driver, deliveries = await held(bench, *map(str, range(WARM + 2)))
    settler = Settler(driver, Outage())
    for delivery in deliveries[:WARM]:
        await settled(settler, [delivery])
    for delivery in deliveries[WARM:]:
        settler.put(delivery, Done(), lambda _: None)
        settler.hurry(1)
        for _ in range(5):
            await asyncio.sleep(0)
    assert settler.unsent == 1
    assert len(batches(driver)) == WARM + 1  # the last one waits
    await settler.drain(1.0)
    assert [len(batch) for batch in batches(driver)] == [1] * len(deliveries)


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

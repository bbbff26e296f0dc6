import asyncio
from collections.abc import Sequence
from contextvars import ContextVar, copy_context

import pytest

from asyncdq.batcher import Batcher


class Trips:
    """A place to send to, whose every round trip ends when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.gate = asyncio.Semaphore(0)

    async def send(self, batch: list[int]) -> Sequence[int | BaseException]:
        self.batches.append(batch)
        self.begun.set()
        await self.gate.acquire()
        return [ValueError("negative") if item < 0 else item * 10 for item in batch]


async def test_a_lone_item_goes_out_at_once() -> None:
    trips = Trips()
    trips.gate.release()
    assert await Batcher(trips.send, 100).call(1) == 10
    assert trips.batches == [[1]]


async def test_what_piles_up_during_a_trip_shares_the_next_one() -> None:
    trips = Trips()
    batcher = Batcher(trips.send, 100)
    first = asyncio.create_task(batcher.call(1))
    await trips.begun.wait()
    later = [asyncio.create_task(batcher.call(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    trips.gate.release()
    trips.gate.release()
    assert await asyncio.gather(first, *later) == [10, 20, 30, 40]
    assert trips.batches == [[1], [2, 3, 4]]


async def test_in_a_hurry_a_batch_goes_out_beside_what_is_under_way_if_that_is_not_too_much() -> None:
    trips = Trips()
    batcher = Batcher(trips.send, 100)
    calls = [asyncio.create_task(batcher.call(1))]
    await trips.begun.wait()
    for items in (2, 3), (4,), (5, 6):
        calls += [asyncio.create_task(batcher.call(item)) for item in items]
        await asyncio.sleep(0)
        batcher.hurry(3)
        batcher.hurry(3)
        await asyncio.sleep(0)
    assert trips.batches == [[1], [2, 3], [4]]
    for _ in range(4):
        trips.gate.release()
    assert await asyncio.gather(*calls) == [10, 20, 30, 40, 50, 60]
    assert trips.batches[3:] == [[5, 6]]


async def test_a_trip_may_have_a_context_of_its_own_and_not_that_of_its_first_item() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")
    seen: list[str] = []

    async def send(batch: list[int]) -> Sequence[int]:
        seen.append(who.get())
        return batch

    own, callers = Batcher(send, 100, context=copy_context()), Batcher(send, 100)
    who.set("the caller")
    for batcher in (own, callers):
        batcher.put(1, print)
        await batcher.drain()
    assert seen == ["nobody", "the caller"]


async def test_what_has_time_goes_with_the_next_that_has_none_or_when_its_time_is_over() -> None:
    trips = Trips()
    for _ in range(2):
        trips.gate.release()
    batcher = Batcher(trips.send, 100)
    batcher.put(1, lambda _: None, within=3600.0)
    await asyncio.sleep(0)
    assert trips.batches == []
    assert await batcher.call(2) == 20
    batcher.put(3, lambda _: None, within=0.01)
    batcher.put(4, lambda _: None, within=3600.0)
    trips.begun.clear()
    await trips.begun.wait()
    assert trips.batches == [[1, 2], [3, 4]]


async def test_what_has_time_has_it_too_when_a_trip_returns() -> None:
    trips = Trips()
    for _ in range(3):
        trips.gate.release()
    batcher = Batcher(trips.send, 100)
    first = asyncio.create_task(batcher.call(1))
    await trips.begun.wait()
    batcher.put(2, lambda _: None, within=3600.0)
    assert await first == 10
    await asyncio.sleep(0)
    assert trips.batches == [[1]]
    assert await batcher.call(3) == 30
    assert trips.batches == [[1], [2, 3]]


async def test_who_comes_with_a_trip_that_goes_anyway_leaves_no_wait_behind() -> None:
    trips = Trips()
    batcher = Batcher(trips.send, 100)
    batcher.put(1, lambda _: None)
    await trips.begun.wait()
    answered = asyncio.Event()
    batcher.put(2, lambda _: None, within=0.01)  # during the first trip
    batcher.put(3, lambda _: None)  # the second goes with this one
    batcher.put(4, lambda _: answered.set(), within=0.01)
    for _ in range(2):
        trips.gate.release()
    await answered.wait()
    assert trips.batches == [[1], [2, 3, 4]]
    batcher.put(5, lambda _: None, within=3600.0)
    await asyncio.sleep(0.02)  # longer than the waits that are over
    assert trips.batches == [[1], [2, 3, 4]]
    batcher.abandon()


async def test_what_comes_during_a_trip_goes_when_its_time_is_over() -> None:
    trips = Trips()
    trips.gate.release()
    batcher = Batcher(trips.send, 100)
    first = asyncio.create_task(batcher.call(1))
    await trips.begun.wait()
    answered = asyncio.Event()
    batcher.put(2, lambda _: answered.set(), within=0.01)
    batcher.put(3, lambda _: None, within=3600.0)
    assert await first == 10
    trips.gate.release()
    await answered.wait()
    assert trips.batches == [[1], [2, 3]]


async def test_what_has_time_goes_in_time_though_who_was_to_take_the_one_before_it_was_cancelled() -> None:
    trips = Trips()
    batcher = Batcher(trips.send, 100)
    batcher.put(1, lambda _: None)
    await trips.begun.wait()
    batcher.put(2, lambda _: None)
    (running,) = asyncio.all_tasks() - {asyncio.current_task()}
    running.cancel()  # as asyncio.run does, before it lets all tidy up
    await asyncio.wait([running])
    answered = asyncio.Event()
    batcher.put(3, lambda _: answered.set(), within=0.01)
    trips.gate.release()
    await answered.wait()
    assert trips.batches == [[1], [2, 3]]


async def test_what_has_time_is_sent_when_all_is_to_be_sent() -> None:
    trips = Trips()
    trips.gate.release()
    batcher = Batcher(trips.send, 100)
    batcher.put(1, lambda _: None, within=3600.0)
    await batcher.drain()
    assert trips.batches == [[1]]


async def test_a_batch_never_exceeds_its_limit() -> None:
    trips = Trips()
    for _ in range(3):
        trips.gate.release()
    batcher = Batcher(trips.send, 2)
    assert await asyncio.gather(*map(batcher.call, range(5))) == [0, 10, 20, 30, 40]
    assert [len(batch) for batch in trips.batches] == [2, 2, 1]


async def test_one_bad_item_fails_alone() -> None:
    trips = Trips()
    trips.gate.release()
    batcher = Batcher(trips.send, 100)
    results = await asyncio.gather(*map(batcher.call, (1, -1, 2)), return_exceptions=True)
    assert [type(result) for result in results] == [int, ValueError, int]


async def test_a_cancelled_caller_does_not_unsend_its_item() -> None:
    trips = Trips()
    batcher = Batcher(trips.send, 100)
    caller = asyncio.create_task(batcher.call(1))
    await trips.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    trips.gate.release()
    await batcher.drain()
    assert trips.batches == [[1]]


async def test_a_trip_that_raises_fails_all_its_items_and_none_of_the_next() -> None:
    async def send(batch: list[int]) -> Sequence[int]:
        if batch == [1]:
            raise OSError("down")
        return batch

    batcher = Batcher(send, 1)
    results = await asyncio.gather(batcher.call(1), batcher.call(2), return_exceptions=True)
    assert isinstance(results[0], OSError)
    assert results[1] == 2


async def lone(trips: Trips) -> Batcher[int, int]:
    """A batcher whose last batch was of one item: the next one goes out at once."""
    batcher = Batcher(trips.send, 100, unstoppable=True)
    trips.gate.release()
    await batcher.call(0)
    trips.batches.clear()
    return batcher


async def test_after_a_lone_item_the_next_one_goes_out_at_once_and_what_comes_meanwhile_with_the_one_after_it() -> None:
    trips = Trips()
    batcher = await lone(trips)
    calls = asyncio.gather(*map(batcher.call, (1, 2, 3)))
    await asyncio.sleep(0)
    assert trips.batches == [[1]]
    await asyncio.sleep(0)
    assert trips.batches == [[1]]
    trips.gate.release()
    trips.gate.release()
    assert await calls == [10, 20, 30]
    calls = asyncio.gather(*map(batcher.call, (4, 5)))
    trips.gate.release()
    assert await calls == [40, 50]
    assert trips.batches == [[1], [2, 3], [4, 5]]


async def test_a_lone_item_may_fail() -> None:
    trips = Trips()
    batcher = await lone(trips)
    trips.gate.release()
    with pytest.raises(ValueError, match="negative"):
        await batcher.call(-1)
    trips.gate.release()
    assert await batcher.call(1) == 10


async def test_who_comes_after_a_lone_item_is_sent_though_its_caller_is_cancelled() -> None:
    trips = Trips()
    batcher = await lone(trips)
    first, second = asyncio.create_task(batcher.call(1)), asyncio.create_task(batcher.call(2))
    await asyncio.sleep(0)
    first.cancel()
    trips.gate.release()
    assert await second == 20
    with pytest.raises(asyncio.CancelledError):
        await first
    assert trips.batches == [[1], [2]]


async def test_drain_waits_for_a_lone_item_too() -> None:
    trips = Trips()
    batcher = await lone(trips)
    call = asyncio.create_task(batcher.call(1))
    await asyncio.sleep(0)
    draining = asyncio.create_task(batcher.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    trips.gate.release()
    await draining
    assert await call == 10


async def test_what_must_not_be_broken_off_has_a_task_of_its_own() -> None:
    trips = Trips()
    batcher = Batcher(trips.send, 100)
    for _ in range(2):
        trips.gate.release()
    await batcher.call(0)
    caller = asyncio.create_task(batcher.call(1))
    await asyncio.sleep(0)
    assert trips.batches == [[0]]
    caller.cancel()
    await batcher.drain()
    assert trips.batches == [[0], [1]]


async def test_drain_waits_for_everything_that_was_put_in() -> None:
    trips = Trips()
    heard: list[object] = []
    batcher = Batcher(trips.send, 1)
    batcher.put(1, heard.append)
    batcher.put(2, heard.append)
    for _ in range(2):
        trips.gate.release()
    await batcher.drain()
    assert heard == [10, 20]


async def test_what_is_cancelled_before_it_goes_out_is_sent_by_drain() -> None:
    trips = Trips()
    heard: list[object] = []
    batcher = Batcher(trips.send, 1)
    batcher.put(1, heard.append)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # as asyncio.run does with all that is left
    trips.gate.release()
    await batcher.drain()
    assert heard == [10]


@pytest.mark.parametrize("begun", [True, False])
async def test_what_is_put_in_while_all_tasks_are_cancelled_is_sent(begun: bool) -> None:
    trips = Trips()
    batcher = Batcher(trips.send, 100)

    async def tidy() -> int:
        try:
            return await batcher.call(1)
        finally:
            await batcher.call(2)

    caller = asyncio.create_task(tidy())
    await asyncio.sleep(0)
    if begun:
        await trips.begun.wait()
    sending = asyncio.all_tasks() - {asyncio.current_task(), caller}
    for task in caller, *sending:
        task.cancel()  # as asyncio.run does, in any order
    trips.gate.release()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 5.0)
    assert trips.batches[-1][-1] == 2


async def test_who_cancels_all_tasks_until_there_are_none_comes_to_an_end() -> None:
    batcher = Batcher(Trips().send, 100)
    batcher.put(1, lambda _: None)
    rounds = 0
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        rounds += 1
        assert rounds < 10
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

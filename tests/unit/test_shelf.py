"""What was delivered and not asked for yet: order, shares, waiting, and what has lain there for too long."""

from __future__ import annotations

import asyncio

from asyncdq.drivers.shelf import Shelf


def shelf(**queues: str) -> Shelf[str]:
    """Each letter is an item, which arrived a second after the one before it in its queue."""
    made = Shelf[str]()
    for queue, items in queues.items():
        for now, item in enumerate(items):
            made.put(queue, item, float(now))
    return made


def test_earlier_queues_go_first_and_each_gives_its_share_in_order() -> None:
    full = shelf(low="xyz", high="abc")
    assert full.take({"high": 2, "low": 5}, 4) == [("high", "a"), ("high", "b"), ("low", "x"), ("low", "y")]
    assert (full.count("high"), full.count("low"), len(full)) == (1, 1, 2)


def test_what_would_be_taken_next_can_be_seen() -> None:
    full = shelf(low="xyz", high="ab")
    assert full.next({"high": 1, "low": 1}, 5) == ["a", "x"]
    assert len(full) == 5


def test_what_goes_first_is_taken_first_and_what_is_picked_is_gone() -> None:
    full = shelf(work="abc")
    full.put_first("work", "z", 3.0)
    assert full.pick("work", lambda item: item in "bz") == ["z", "b"]
    assert full.pick("other", lambda item: True) == []
    full.put_first("work", "z", 3.0)
    assert full.take({"work": 9}, 9) == [("work", "z"), ("work", "a"), ("work", "c")]


def test_what_arrived_before_a_time_is_stale() -> None:
    full = shelf(work="abc", other="")
    full.put_first("work", "z", 9.0)
    assert full.idle(1.5) == ["work"]
    assert full.take({"work": 1}, 1) == [("work", "z")]
    assert full.stale(1.5) == [("work", "a"), ("work", "b")]
    assert full.clear() == [("work", "c")]
    assert not full


async def test_who_waits_is_woken_by_his_queue_only_and_at_once_if_it_has_something() -> None:
    empty = Shelf[str]()
    with empty.waiting(["work"]) as mine, empty.waiting(["other"]) as other:
        empty.put("work", "a", 0.0)
        assert (mine.done(), other.done()) == (True, False)
        empty.wake()
        assert other.done()
    with empty.waiting(["other", "work"]) as late:
        async with asyncio.timeout(1):
            await late

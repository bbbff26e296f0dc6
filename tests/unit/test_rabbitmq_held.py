"""Who may settle a delivery, and which acknowledgement may stand for others: never for what nobody has settled."""

from __future__ import annotations

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdq.drivers.rabbitmq_held import Held


def arrived(*numbers: int) -> Held:
    held = Held()
    for number in numbers:
        held.add(number)
    return held


def forgotten(held: Held, *tags: int) -> set[int]:
    for tag in tags:
        held.forget(tag)
    return set(tags)


def test_one_alone_settles_a_delivery_and_once() -> None:
    held = arrived(1, 2)
    assert held.begin(1)
    assert not held.begin(1)
    held.undo(1)
    assert held.begin(1)
    held.forget(1)
    held.undo(1)
    assert not held.begin(1)
    assert (1 in held, 2 in held, len(held)) == (False, True, 1)
    assert held.take_oldest({1}) == 1
    assert not held.begin(1)


def test_what_was_fetched_was_not_pushed() -> None:
    held = arrived(1)
    held.add(2, consumer=7)
    assert (held.pushed(1), held.pushed(2)) == (False, True)
    assert held.forget(2) == 7
    assert not held.pushed(2)


def test_the_last_of_the_oldest_stands_for_all_of_them() -> None:
    held = arrived(1, 2, 3, 4, 5)
    settled = forgotten(held, 1, 2, 4)
    assert held.take_oldest(settled) == 2
    assert settled == {4}
    held.take(4)
    assert held.take_oldest(forgotten(held, 3, 5)) == 5
    assert len(held) == 0


def test_none_does_while_the_oldest_is_not_settled() -> None:
    held = arrived(1, 2, 3)
    settled = forgotten(held, 2, 3)
    assert held.take_oldest(settled) is None
    assert settled == {2, 3}


def test_none_does_while_one_is_missing_that_may_be_older() -> None:
    held = arrived(1, 3)
    settled = forgotten(held, 1, 3)
    assert held.take_oldest(settled) is None
    held.add(2)
    assert held.take_oldest(settled) == 1


@settings(deadline=None)
@given(st.permutations(range(1, 9)), st.lists(st.sets(st.integers(1, 8)), max_size=6))
def test_whatever_arrives_when_only_what_is_settled_is_acknowledged(order: list[int], parts: list[set[int]]) -> None:
    held, here, acknowledged, seen = Held(), iter(order), set[int](), set[int]()
    for part in parts:
        for number in islice(here, len(part) + 1):
            held.add(number)
            seen.add(number)
        settled = (part & seen) - acknowledged
        rest = forgotten(held, *settled)
        if (last := held.take_oldest(rest)) is not None:
            told = set(range(1, last + 1)) - acknowledged  # what the broker takes it for
            assert last in told <= settled
        for number in rest:
            held.take(number)
        acknowledged |= settled
        assert {tag for tag in range(1, 9) if tag in held} == seen - acknowledged
        assert len(held) == len(seen - acknowledged)

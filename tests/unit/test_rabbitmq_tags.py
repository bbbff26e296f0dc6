"""Which acknowledgement may stand for others: never one that stands for what nobody has settled."""

from __future__ import annotations

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdq.drivers.rabbitmq_tags import Tags


def arrived(*numbers: int) -> Tags:
    tags = Tags()
    for number in numbers:
        tags.add(number)
    return tags


def test_the_last_of_the_oldest_stands_for_all_of_them() -> None:
    tags, settled = arrived(1, 2, 3, 4, 5), {1, 2, 4}
    assert tags.take_oldest(settled) == 2
    assert settled == {4}
    tags.take(4)
    assert tags.take_oldest({3, 5}) == 5


def test_none_does_while_the_oldest_is_not_settled() -> None:
    settled = {2, 3}
    assert arrived(1, 2, 3).take_oldest(settled) is None
    assert settled == {2, 3}


def test_none_does_while_one_is_missing_that_may_be_older() -> None:
    tags = arrived(1, 3)
    assert tags.take_oldest({1, 3}) is None
    tags.add(2)
    assert tags.take_oldest({1, 3}) == 1


@settings(deadline=None)
@given(st.permutations(range(1, 9)), st.lists(st.sets(st.integers(1, 8)), max_size=6))
def test_whatever_arrives_when_only_what_is_settled_is_acknowledged(order: list[int], parts: list[set[int]]) -> None:
    tags, here, acknowledged, seen = Tags(), iter(order), set[int](), set[int]()
    for part in parts:
        for number in islice(here, len(part) + 1):
            tags.add(number)
            seen.add(number)
        settled = (part & seen) - acknowledged
        rest = set(settled)
        if (last := tags.take_oldest(rest)) is not None:
            told = set(range(1, last + 1)) - acknowledged  # what the broker takes it for
            assert last in told <= settled
        for number in rest:
            tags.take(number)
        acknowledged |= settled

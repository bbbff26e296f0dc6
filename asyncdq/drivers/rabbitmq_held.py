"""The deliveries of one channel that the broker waits to hear of, by the tags that it numbers from 1 without a gap.

    add -> ours -> forget -> nobody's -> take, take_oldest -> acknowledged
           |  ^      ^
       begin  undo   |
           v  |      |
       being settled +

What is forgotten is acknowledged, once and no more: a second time closes the channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

FETCHED = 0
"""The number of no consumer."""


@dataclass(slots=True, eq=False)
class _Delivery:
    """`consumer` is which of our consumers got it, or FETCHED."""

    consumer: int
    ours: bool = True
    settling: bool = False


class Held:
    """What has been delivered and is not acknowledged; as a collection, what of it is ours."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Delivery] = {}  # in their order
        self._newest = 0
        self._arrived = 0
        self._ours = 0

    def __len__(self) -> int:
        """How many are ours."""
        return self._ours

    def __contains__(self, tag: int) -> bool:
        """Whether it is ours, or is being settled."""
        delivery = self._waiting.get(tag)
        return delivery is not None and delivery.ours

    def add(self, tag: int, consumer: int = FETCHED) -> None:
        """It has arrived. What is pushed may overtake what was fetched before it."""
        self._waiting[tag] = _Delivery(consumer)
        if tag < self._newest:
            self._waiting = dict(sorted(self._waiting.items()))
        self._newest = max(self._newest, tag)
        self._arrived += 1
        self._ours += 1

    def pushed(self, tag: int) -> bool:
        """Whether it is ours and was pushed, not fetched."""
        return tag in self and self._waiting[tag].consumer != FETCHED

    def begin(self, tag: int) -> bool:
        """Whether who asks may settle it: nobody else can from now on."""
        if tag not in self or self._waiting[tag].settling:
            return False
        self._waiting[tag].settling = True
        return True

    def undo(self, tag: int) -> None:
        """It could not be settled, and may be again."""
        if tag in self:
            self._waiting[tag].settling = False

    def forget(self, tag: int) -> int:
        """It is settled, and nobody's from now on; returns which consumer got it."""
        delivery = self._waiting[tag]
        self._ours -= delivery.ours
        delivery.ours = False
        return delivery.consumer

    def take_oldest(self, tags: set[int]) -> int | None:
        """Take the oldest of all out of these forgotten `tags`, as far as they are in it; the last of them, or None.

        An acknowledgement of that one stands for all that are older. None also while one is missing that may be older:
        it would be acknowledged with them.
        """
        if self._arrived != self._newest:
            return None
        row = list(takewhile(tags.__contains__, self._waiting))
        for tag in row:
            del self._waiting[tag]
        tags.difference_update(row)
        return row[-1] if row else None

    def take(self, tag: int) -> None:
        """One that is forgotten is acknowledged by its own number."""
        del self._waiting[tag]

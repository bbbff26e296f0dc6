"""The deliveries of one channel that the broker waits to hear of, by the tags that it numbers from 1 without a gap."""

from __future__ import annotations

from itertools import takewhile


class Tags:
    """Says which of them can be acknowledged in one word: that of the last one stands for all that are older."""

    def __init__(self) -> None:
        self._waiting: dict[int, None] = {}  # in their order
        self._newest = 0
        self._arrived = 0

    def add(self, tag: int) -> None:
        """It has arrived. What is pushed may overtake what was fetched before it."""
        self._waiting[tag] = None
        if tag < self._newest:
            self._waiting = dict.fromkeys(sorted(self._waiting))
        self._newest = max(self._newest, tag)
        self._arrived += 1

    def take_oldest(self, tags: set[int]) -> int | None:
        """Take the oldest of all out of `tags`, as far as those are in it; the last of them, or None.

        None also while one is missing that may be older: it would be acknowledged with them.
        """
        if self._arrived != self._newest:
            return None
        row = list(takewhile(tags.__contains__, self._waiting))
        for tag in row:
            del self._waiting[tag]
        tags.difference_update(row)
        return row[-1] if row else None

    def take(self, tag: int) -> None:
        """It is acknowledged by its own number."""
        del self._waiting[tag]

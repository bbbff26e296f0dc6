"""What a backend has delivered to this process and nobody has asked for yet, kept per queue.

For brokers that push, or that are asked in the background (RabbitMQ, SQS). The contract:

    shelf.put("work", item, now)                     an item has arrived; who waits for its queue is woken
    shelf.put_first("work", item, now)               the same, but it goes before the others
    shelf.take({"high": 5, "low": 5}, 5)             hands out, earlier queues first, oldest first; never waits
    shelf.next(wanted, 5)                            what `take` would hand out now, left where it is
    shelf.stale(now - 30)                            takes off what has lain there since before that: it is to go back
                                                     to the broker, so that no process parks what another could run
    shelf.idle(now - 30)                             the queues of which something has
    shelf.clear("work"), shelf.clear()               takes off everything, of one queue or all: to go back, or lost
    with shelf.waiting(["high", "low"]) as woken:    a future that is done once one of these queues has something,
        await woken                                  at once if it has already, or when `wake` is called

An item is whatever the driver needs to hand it out, settle it and give it back. `now` is the loop's time. The
shelf itself talks to no broker, has no clock and no task; it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Generic, TypeVar

from .waiters import Waiters

T = TypeVar("T")

PARKED_AFTER = 1.0
"""Seconds that an item may lie on the shelf while nobody takes it."""


class Shelf(Generic[T]):
    """The items of one driver, by queue, in the order of their arrival."""

    def __init__(self) -> None:
        self._items: dict[str, deque[tuple[float, T]]] = {}
        self._waiters = Waiters()

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def count(self, queue: str) -> int:
        """How many items of this queue there are."""
        return len(self._items.get(queue, ()))

    def put(self, queue: str, item: T, now: float) -> None:
        """Keep an item that arrived now, and wake who waits for its queue."""
        self._items.setdefault(queue, deque()).append((now, item))
        self.wake(queue)

    def put_first(self, queue: str, item: T, now: float) -> None:
        """Keep an item that arrived now and goes before the others of its queue."""
        self._items.setdefault(queue, deque()).appendleft((now, item))
        self.wake(queue)

    def take(self, wanted: Mapping[str, int], limit: int) -> list[tuple[str, T]]:
        """At most `limit`, and of each queue at most what `wanted` says, in that order of queues."""
        taken: list[tuple[str, T]] = []
        for queue, share in wanted.items():
            items = self._items.get(queue, ())
            room = min(share, limit - len(taken))
            while items and room > 0:
                taken.append((queue, items.popleft()[1]))
                room -= 1
        return taken

    def stale(self, before: float) -> list[tuple[str, T]]:
        """Take off what arrived before this time, where nothing was put first."""
        taken: list[tuple[str, T]] = []
        for queue, items in self._items.items():
            while items and items[0][0] < before:
                taken.append((queue, items.popleft()[1]))
        return taken

    def next(self, wanted: Mapping[str, int], limit: int) -> list[T]:
        """What `take` would hand out now, left where it is."""
        seen: list[T] = []
        for queue, share in wanted.items():
            room = min(share, limit - len(seen))
            seen += [item for _, item in islice(self._items.get(queue, ()), max(0, room))]
        return seen

    def pick(self, queue: str, wanted: Callable[[T], bool]) -> list[T]:
        """Take off those items of this queue that are wanted; the others keep their places."""
        items = self._items.get(queue, deque())
        picked = [item for _, item in items if wanted(item)]
        self._items[queue] = deque(pair for pair in items if not wanted(pair[1]))
        return picked

    def idle(self, before: float) -> list[str]:
        """The queues of which something arrived before this time."""
        return [queue for queue, items in self._items.items() if any(at < before for at, _ in items)]

    def clear(self, queue: str | None = None) -> list[tuple[str, T]]:
        """Take off everything, of this queue or of all."""
        names = list(self._items) if queue is None else [queue]
        return [(name, item) for name in names for _, item in self._items.pop(name, ())]

    @contextmanager
    def waiting(self, queues: Collection[str]) -> Generator[asyncio.Future[bool]]:
        """A future that is done, and True, as soon as one of `queues` has something."""
        with self._waiters.waiting(queues) as woken:
            if any(map(self.count, queues)):
                woken.set_result(True)
            yield woken

    def wake(self, queue: str | None = None) -> None:
        """End the waits for this queue, or all of them."""
        if queue is None:
            self._waiters.wake_all()
        else:
            self._waiters.wake([queue])

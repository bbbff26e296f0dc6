"""What lies on the shelf for too long goes back to the broker, and less of its queue is buffered for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from ..message import Delivery
from .shelf import PARKED_AFTER, Shelf


class Parking:
    """Looks at the shelf while something lies there; `give_back` is told of which queues it has been there too long."""

    def __init__(self, shelf: Shelf[Delivery], give_back: Callable[[Sequence[str]], None]) -> None:
        self._shelf = shelf
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._frugal: dict[str, int] = {}  # queue -> outcomes until it may be buffered beyond what is asked again

    def watch(self, seconds: float = PARKED_AFTER) -> None:
        """Something was put on the shelf: look at it then, unless it is looked at before."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def be_frugal(self, queue: str, running: int) -> None:
        """Nobody has asked for what was buffered of this queue: buffer no more until as many outcomes as now run."""
        self._frugal[queue] = max(1, running)

    def spend(self, deliveries: Iterable[Delivery]) -> None:
        """These had been handed out, and have an outcome."""
        for delivery in deliveries:
            if delivery.queue in self._frugal:
                self._frugal[delivery.queue] -= 1

    def buffered(self, queue: str, needed: int) -> int:
        """How many may be held of a queue of which so many are needed."""
        return needed if self._frugal.get(queue, 0) > 0 else 2 * needed

    def _look(self) -> None:
        self._timer = None
        if not self._shelf:
            return
        if stale := self._shelf.idle(self._loop.time() - PARKED_AFTER):
            self._give_back(stale)
        self.watch(PARKED_AFTER / 4)

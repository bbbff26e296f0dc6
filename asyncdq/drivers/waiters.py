"""Those who wait until a queue is announced, in one driver."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Generator
from contextlib import contextmanager


class Waiters:
    """Of one event loop."""

    def __init__(self) -> None:
        self._waiting: set[tuple[frozenset[str], asyncio.Future[bool]]] = set()

    @contextmanager
    def waiting(self, queues: Collection[str]) -> Generator[asyncio.Future[bool]]:
        """A future that is done, and True, as soon as one of `queues` is announced."""
        waiter = (frozenset(queues), asyncio.get_running_loop().create_future())
        self._waiting.add(waiter)
        try:
            yield waiter[1]
        finally:
            self._waiting.discard(waiter)

    def wake(self, queues: Collection[str]) -> None:
        """These are announced."""
        for wanted, woken in self._waiting:
            if not wanted.isdisjoint(queues):
                _finish(woken, True)

    def wake_all(self) -> None:
        """End all waits, as when something may be announced that nobody here hears."""
        for _, woken in self._waiting:
            _finish(woken, True)


async def announced(woken: asyncio.Future[bool], seconds: float) -> bool:
    """Whether that future is done within so many seconds; nobody else may wait for it.

    Not asyncio.wait, which hears of it a turn of the event loop later.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _finish, woken, False)
    try:
        return await woken
    finally:
        timer.cancel()


def _finish(woken: asyncio.Future[bool], announced: bool) -> None:
    if not woken.done():
        woken.set_result(announced)

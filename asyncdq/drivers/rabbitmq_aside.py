"""Queues that are out of order at the broker, left aside so that the others go on.

A quorum queue is there and has no leader while most of its nodes are away, after its disk was full, or, in 3.10, after
a crash in its first second. Who consumes it gets no answer, or loses the connection and all that he holds of other
queues. So it is tried again on a connection of its own, in the background, and stays on that while its lane lives.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress

from ..errors import AsyncdqError, ConnectionLost
from ..soon import start_soon
from .rabbitmq_errors import Failed
from .rabbitmq_link import Link

RETRY, LONGEST = 1.0, 5.0
"""Seconds from one try to the next: at first, and at most."""

REMIND = 60.0
"""Seconds after which the log says again that a queue is out of order."""

_log = logging.getLogger("asyncdq.drivers")


class Aside:
    """Whose connection each queue is on: that of all, or its own; and which of them cannot be had now.

    consume  consumes a queue on the connection that `link` gives, or raises
    back     is told when that has worked
    """

    def __init__(self, common: Link, consume: Callable[[str], Awaitable[None]], back: Callable[[], None]) -> None:
        self._common = common
        self._consume = consume
        self._back = back
        self._own: dict[str, Link] = {}
        self._alone: set[str] = set()  # who is on their own now
        self._why: dict[str, str] = {}
        self._trying: dict[str, asyncio.Task[None]] = {}
        self._hurry: dict[str, asyncio.Event] = {}  # ends the pause before the next try
        self._waiting: set[asyncio.Future[None]] = set()  # for the end of any try

    def __contains__(self, queue: str) -> bool:
        return queue in self._why

    def link(self, queue: str, *, new: bool = False) -> Link:
        """The connection that this queue is consumed on; a `new` one may be out of order like those that are."""
        if new and self._why:
            self._separate(queue)
        return self._own[queue] if queue in self._alone else self._common

    async def without(self, queues: Iterable[str]) -> list[str]:
        """Those of these that can be had. If that is none, they are tried now. Raises `ConnectionLost` if in vain."""
        asked = list(queues)
        if asked and self._why.keys() >= set(asked):
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(over)
            for queue in asked:
                self._hurry[queue].set()
            try:
                await over
            finally:
                self._waiting.discard(over)
        found = [queue for queue in asked if queue not in self._why]
        if asked and not found:
            raise ConnectionLost(self._why[asked[0]])
        return found

    @contextmanager
    def noticing(self, queue: str) -> Generator[None]:
        """An open connection that gives no answer about this queue, or ends of asking, leaves it aside."""
        try:
            yield
        except ConnectionLost as error:
            if not isinstance(error.__cause__, (TimeoutError, Failed)):
                raise
            if queue not in self._why:
                self._why[queue] = _reason(queue, error)
                _log.warning("%s; the others go on without it, and it is tried again", self._why[queue])
                self._separate(queue)
                self._hurry[queue] = asyncio.Event()
                trying = self._trying[queue] = start_soon(self._try(queue), name="asyncdq-rabbitmq-aside")
                trying.add_done_callback(lambda _: self._over(queue))
            raise

    def leave(self, queue: str) -> None:
        """It is consumed no more; the next time it is with all others, unless it is being tried."""
        if queue not in self._why and queue in self._alone:
            self._alone.remove(queue)
            self._own[queue].discard()

    async def stop(self) -> None:
        """Try no more, until somebody asks for such a queue again."""
        trying = list(self._trying.values())
        for task in trying:
            task.cancel()
        if trying:
            await asyncio.wait(trying)

    async def close(self) -> None:
        """Close what is only for one queue."""
        await asyncio.gather(*(link.close() for link in self._own.values()))

    def _separate(self, queue: str) -> None:
        self._alone.add(queue)
        self._own.setdefault(queue, Link(self._common.address, self._common.timeout, beside=self._common))

    async def _try(self, queue: str) -> None:
        loop = asyncio.get_running_loop()
        remind_at, pause = loop.time() + REMIND, RETRY
        while True:
            try:
                await self._consume(queue)
                _log.warning("the queue %r is had again", queue)
                return
            except BaseException as error:
                self._own[queue].discard()  # with all that this try has left there
                if not isinstance(error, AsyncdqError):
                    raise
                self._why[queue] = _reason(queue, error)
            if loop.time() > remind_at:
                _log.warning("%s; still", self._why[queue])
                remind_at += REMIND
            self._tell()
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(pause / 2, pause)):
                    await self._hurry[queue].wait()
            self._hurry[queue].clear()
            pause = min(2 * pause, LONGEST)

    def _over(self, queue: str) -> None:
        del self._trying[queue], self._why[queue], self._hurry[queue]
        self._tell()
        self._back()

    def _tell(self) -> None:
        for over in self._waiting:
            if not over.done():
                over.set_result(None)


def _reason(queue: str, error: AsyncdqError) -> str:
    return f"the queue {queue!r} may be out of order: {error}"

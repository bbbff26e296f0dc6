"""Waking those who wait for a queue: one subscription for all of a driver's waiters, opened by the first.

A script publishes when a queue was empty before, or when something is due sooner than all else. When the
subscription breaks, all waiters return: what was said meanwhile is lost, so they claim once, and who then
waits again opens the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from ..errors import AsyncdqError, ConnectionLost
from ..soon import start_soon
from .redis_address import Address
from .redis_link import Link, again, explained, heard, opened, pack
from .redis_scripts import Keys
from .waiters import Waiters

T = TypeVar("T")

LOOK_AGAIN = 2.5
"""Seconds after which a waiter looks by itself: the safety net under lost messages. With the questions of QUIET it
is 36 commands a minute, whatever the number of queues."""

QUIET = 5.0
"""Seconds of silence after which the server is asked whether it is still there: routers forget without a word."""

PATIENCE = 2.0
"""Seconds in which it answers, or the subscription is lost."""


class Wakes:
    """The waiters of one driver. Belongs to the event loop in which it was made."""

    def __init__(self, address: Address, keys: Keys, timeout: float) -> None:
        self._address = address
        self._keys = keys
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiters = Waiters()
        self._reader: asyncio.Task[None] | None = None
        self._link: asyncio.Future[Link] = self._loop.create_future()
        self._heard: dict[bytes, asyncio.Future[None]] = {}

    def waiting(self, queues: Collection[str]) -> AbstractContextManager[asyncio.Future[bool]]:
        """A future that is done, and True, as soon as one of `queues` is announced."""
        return self._waiters.waiting(queues)

    async def listen(self, queues: Collection[str]) -> None:
        """Return when no announcement of `queues` can be missed any more. Raises `ConnectionLost`."""
        if self._reader is None:
            self._link, self._heard = self._loop.create_future(), {}
            self._reader = start_soon(self._read(self._link), name="asyncdq-redis-wakes")
        opening, reader = self._link, self._reader
        # Never awaited alone: a waiter that is cancelled would cancel it for all.
        await asyncio.wait([opening])
        link = _result(opening)
        if self._reader is not reader or self._link is not opening:  # it broke at once, and others may have begun anew
            raise ConnectionLost(f"the subscription at {self._address} broke")
        channels = list(dict.fromkeys(self._keys.channel(queue) for queue in queues))
        if new := [channel for channel in channels if channel not in self._heard]:
            self._heard |= {channel: self._loop.create_future() for channel in new}
            with explained(self._address):
                await link.send_packed_command([pack(b"SUBSCRIBE", *new)], check_health=False)
        heard = [self._heard[channel] for channel in channels]
        if all(each.done() for each in heard):
            return
        _, missing = await asyncio.wait(heard, timeout=self._timeout)
        if missing:
            await self.close()
            raise ConnectionLost(f"the Redis at {self._address} did not answer in time")
        for each in heard:
            _result(each)

    async def close(self) -> None:
        """Stop listening; those who wait return."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _read(self, opening: asyncio.Future[Link]) -> None:
        error: AsyncdqError = ConnectionLost("the driver was closed")
        try:
            with explained(self._address):
                async with asyncio.timeout(self._timeout):
                    link = await opened(self._address)
                opening.set_result(link)
                while True:
                    match await _next(link):
                        case [b"message", bytes(channel), _]:
                            self._waiters.wake([self._keys.queue(channel)])
                        case [b"subscribe", bytes(channel), _]:
                            self._heard[channel].set_result(None)
                        case _:
                            pass  # the server is still there
        except AsyncdqError as failure:
            error = failure
        finally:
            self._reader = None
            expected: list[asyncio.Future[Any]] = [opening, *self._heard.values()]
            for future in expected:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # seen, also if nobody waits for it
            if opening.exception() is None:
                await opening.result().disconnect(nowait=True)
            self._waiters.wake_all()


async def _next(link: Link) -> list[Any]:
    """What comes next. Raises TimeoutError if the server is not there any more."""
    try:
        async with asyncio.timeout(QUIET):
            return await heard(link)
    except TimeoutError:
        await link.send_packed_command([pack(b"PING")], check_health=False)
    async with asyncio.timeout(PATIENCE):
        return await heard(link)


def _result(future: asyncio.Future[T]) -> T:
    if isinstance(error := future.exception(), AsyncdqError):
        raise again(error)
    return future.result()

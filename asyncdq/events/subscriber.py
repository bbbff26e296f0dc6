"""Reading the events that a Redis emitter publishes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

from ..drivers.redis_address import parse
from ..drivers.redis_link import Link, ask, explained, heard, opened, pack
from ..errors import ConnectionLost
from .types import Event
from .wire import CHANNEL, loads

T = TypeVar("T")

_log = logging.getLogger("asyncdq.events")

QUIET = 5.0  # seconds of silence after which the server is asked whether it is still there
PATIENCE = 2.0  # seconds in which it answers, or is lost
LONGEST_PAUSE = 3.0  # seconds between two tries to reach it again


class EventSubscriber:
    """The events of all clients and workers that publish to this channel, from now on.

    async with EventSubscriber("redis://localhost:6379") as events:
        async for event in events: ...

    `async with` returns when no later event can be missed; without it the loop begins so. When the server is gone
    it says so in the log and connects again; events of the meantime are not seen. What it cannot read, such as
    a kind of event that is newer than this version, is left out. Raises ConnectionLost if the server is not
    there at the beginning, ConfigurationError for a URL that is none.
    """

    def __init__(self, url: str = "redis://localhost:6379", *, channel: str = CHANNEL, timeout: float = 5.0) -> None:
        self._address, _ = parse(url, {})
        self._channel = channel.encode()
        self._timeout = timeout
        self._link: Link | None = None
        self._begun = False
        self._closed = False
        self._limit: asyncio.Timeout | None = None

    def __str__(self) -> str:
        return f"{self._channel.decode()} at {self._address}"

    async def __aenter__(self) -> Self:
        await self._subscribed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        tries = 0
        while not self._closed:
            try:
                message = await self._message()
                tries = 0
            except ConnectionLost as error:
                if not self._begun:
                    raise
                tries += 1
                await self._pause(error, tries)
                continue
            event = loads(message) if message is not None else None
            if event is not None:
                return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End: a loop over the events ends, here or in another task. May be repeated."""
        self._closed = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
        else:
            await self._drop()

    async def _message(self) -> bytes | None:
        """The next message; None if something else came, or the subscriber was closed."""
        link = await self._subscribed()
        try:
            with explained(self._address):
                answer = await self._within(QUIET, heard(link))
                if answer is None and not self._closed:
                    await link.send_packed_command([pack(b"PING")], check_health=False)
                    answer = await self._within(PATIENCE, heard(link))
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                await self._drop()
            raise
        if answer is None:
            await self._drop()
            if not self._closed:
                raise ConnectionLost(f"the Redis at {self._address} does not answer any more")
            return None
        return answer[2] if answer[0] == b"message" else None

    async def _subscribed(self) -> Link:
        if self._link is not None:
            return self._link
        with explained(self._address):
            async with asyncio.timeout(self._timeout):
                link = await opened(self._address)
                try:
                    await ask(link, b"SUBSCRIBE", self._channel)
                except BaseException:
                    await link.disconnect(nowait=True)
                    raise
        if self._begun:
            _log.warning("events of %s are heard again", self)
        self._link, self._begun = link, True
        return link

    async def _within(self, seconds: float, what: Awaitable[T]) -> T | None:
        """Its result; None if the time is over or the subscriber was closed."""
        try:
            async with asyncio.timeout(seconds) as self._limit:
                return await what
        except TimeoutError:
            return None
        finally:
            self._limit = None

    async def _pause(self, error: ConnectionLost, tries: int) -> None:
        if tries == 1:
            _log.warning("events of %s are not heard now: %s; trying again until it is back", self, error)
        await self._within(min(LONGEST_PAUSE, 0.1 * 2.0 ** min(tries, 20)) * random.uniform(0.5, 1.0), _never())

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.disconnect(nowait=True)


async def _never() -> None:
    await asyncio.get_running_loop().create_future()

"""Events on a channel of Redis, whatever keeps the queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from ..drivers.redis_address import parse
from ..drivers.redis_link import Link, explained, hung_up, opened, pack
from .types import Event
from .wire import CHANNEL, dumps

# Not a PUBLISH from here for each: to read its answer takes the worker as long as to write the event.
_PUBLISH = b"for event in ARGV[2]:gmatch('[^\\n]+') do redis.call('PUBLISH', ARGV[1], event) end"


class RedisEmitter:
    """Publishes each event as JSON, all events of a flush in one round trip.

    url      as for the driver: redis://, rediss://, redis+sentinel://, redis+unix://
    timeout  seconds of one round trip, after which the events are kept and tried again

    Nothing is connected before the first event. Raises ConfigurationError for a URL that is none.
    """

    def __init__(self, url: str = "redis://localhost:6379", *, channel: str = CHANNEL, timeout: float = 2.0) -> None:
        self._address, _ = parse(url, {})
        self._channel = channel.encode()
        self._timeout = timeout
        self._link: Link | None = None
        self._busy = asyncio.Lock()  # a client and a worker may share this emitter
        self._pid = os.getpid()

    async def emit(self, events: Sequence[Event]) -> None:
        """Publish them. Raises ConnectionLost, DriverError or ConfigurationError."""
        command = pack(b"EVAL", _PUBLISH, b"0", self._channel, b"\n".join(map(dumps, events)))
        async with self._busy:
            try:
                with explained(self._address):
                    async with asyncio.timeout(self._timeout):
                        link = await self._ready()
                        await link.send_packed_command([command], check_health=False)
                        await link.read_response(disable_decoding=True)
            except BaseException:  # unread answers may be left
                await self._drop()
                raise

    async def close(self) -> None:
        """Close the connection."""
        async with self._busy:
            await self._drop()

    async def _ready(self) -> Link:
        if self._link is not None and (self._pid != os.getpid() or await hung_up(self._link)):
            await self._drop()
        if self._link is None:
            self._link, self._pid = await opened(self._address), os.getpid()
        return self._link

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None and self._pid == os.getpid():  # after a fork it is the parent's
            await link.disconnect(nowait=True)

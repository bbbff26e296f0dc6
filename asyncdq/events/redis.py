"""Events on a channel of Redis, whatever keeps the queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from ..drivers.redis_address import parse
from ..drivers.redis_link import Link, ask, explained, hung_up, opened
from .types import Event
from .wire import CHANNEL, dumps

# Not a PUBLISH from here for each: to read its answer takes the worker as long as to write the event.
_PUBLISH = b"""
local heard = 0
for event in ARGV[2]:gmatch('[^\\n]+') do heard = redis.call('PUBLISH', ARGV[1], event) end
return heard
"""

# Whether anybody listens to this channel. 1 also where that cannot be known: the user may not ask, there are patterns,
# or there are or were replicas, where others listen, and which hear later what they have missed.
_LISTENERS = b"""
local channel, patterns = redis.pcall('PUBSUB', 'NUMSUB', ARGV[1]), redis.pcall('PUBSUB', 'NUMPAT')
if patterns ~= 0 or channel[2] ~= 0 then return 1 end
local info = redis.pcall('INFO', 'replication')
return type(info) == 'string' and info:find('repl_backlog_active:0', 1, true) and 0 or 1
"""

UNASKED = 100
"""Flushes that are published without a question after the last sign of somebody who listens."""


class RedisEmitter:
    """Publishes each event as JSON, all events of a flush in one round trip.

    Where many wait for a flush, it is asked whether anybody listens, so that nothing is written for nobody: what
    happened before a subscription is not for it.

    url      as for the driver: redis://, rediss://, redis+sentinel://, redis+unix://
    timeout  seconds of one round trip, after which the events are kept and tried again

    Nothing is connected before the first event. Raises ConfigurationError for a URL that is none.
    """

    def __init__(self, url: str = "redis://localhost:6379", *, channel: str = CHANNEL, timeout: float = 2.0) -> None:
        self._address, _ = parse(url, {})
        self._channel = channel.encode()
        self._timeout = timeout
        self._link: Link | None = None
        self._unasked = 0  # flushes that are still to be published so
        self._busy = asyncio.Lock()  # a client and a worker may share this emitter
        self._pid = os.getpid()

    async def emit(self, events: Sequence[Event]) -> None:
        """Publish them. Raises ConnectionLost, DriverError or ConfigurationError."""
        listeners = await self._ask(_PUBLISH, b"\n".join(map(dumps, events)))
        self._unasked = UNASKED if listeners else max(0, self._unasked - 1)

    async def is_heard(self) -> bool:
        """Whether anybody listens, or that is not known, as before the first flush. Raises like `emit`."""
        if self._link is not None and not self._unasked and await self._ask(_LISTENERS):
            self._unasked = UNASKED
        return self._link is None or self._unasked > 0

    async def close(self) -> None:
        """Close the connection."""
        async with self._busy:
            await self._drop()

    async def _ask(self, script: bytes, *more: bytes) -> int:
        async with self._busy:
            try:
                with explained(self._address):
                    async with asyncio.timeout(self._timeout):
                        return int(await ask(await self._ready(), b"EVAL", script, b"0", self._channel, *more))
            except BaseException:  # unread answers may be left
                await self._drop()
                raise

    async def _ready(self) -> Link:
        if self._link is not None and (self._pid != os.getpid() or await hung_up(self._link)):
            await self._drop()
        if self._link is None:
            self._link, self._pid = await opened(self._address), os.getpid()
        return self._link

    async def _drop(self) -> None:
        link, self._link, self._unasked = self._link, None, 0
        if link is not None and self._pid == os.getpid():  # after a fork it is the parent's
            await link.disconnect(nowait=True)

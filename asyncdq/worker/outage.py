"""A backend that does not answer: said once, waited for with growing pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

from ..errors import Blocked, ConnectionLost
from .log import log

T = TypeVar("T")


FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 3.0  # seconds: a server that returns is used again within five
STUBBORN = 3  # tries of a call in vain, though others go through, before it is no outage but this call's trouble


class Outage:
    """What the parts of one worker share about a lost connection."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._over_at = 0.0

    async def persist(self, call: Callable[[], Awaitable[T]], stubborn: float = inf) -> tuple[T, int]:
        """The call's result, tried until the connection holds, and how many tries were lost before it.

        Raises ConnectionLost after `stubborn` tries in vain though others went through in between, and Blocked: then it
        is not the connection.
        """
        loop = asyncio.get_running_loop()
        tries = in_vain = 0
        since = loop.time()
        while True:
            try:
                result = await call()
            except Blocked:
                raise
            except ConnectionLost as error:
                tries += 1
                in_vain += self._since is None and since < self._over_at
                if in_vain >= stubborn:
                    raise
                failed_at = loop.time()
                await self.pause(error, tries, since)
                since = failed_at
            else:
                self.over()
                return result, tries

    async def pause(self, error: Exception, tries: int, since: float) -> None:
        """Say that the connection is lost, unless that is known, and wait before try number `tries` + 1.

        `since` is the event loop's time at which the failed call was made, or had failed before: if another call went
        through since then, this one belongs to the outage that is over.
        """
        if self._since is None and since >= self._over_at:
            self._since = asyncio.get_running_loop().time()
            log.warning("connection lost: %s; trying again until it is back", error, extra={"event": "connection_lost"})
        elif self._since is None and tries >= STUBBORN and tries.bit_count() == 1:  # at the fourth, the eighth ...
            text = "a call fails again and again, though others go through: %s; it is tried until it works"
            log.warning(text, error, extra={"event": "call_stuck"})
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 20))
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))

    def over(self) -> None:
        """A call went through: say so if it had been lost."""
        self._over_at = asyncio.get_running_loop().time()
        if self._since is not None:
            seconds = asyncio.get_running_loop().time() - self._since
            self._since = None
            log.warning("connected again after %.1f s", seconds, extra={"event": "connected_again"})

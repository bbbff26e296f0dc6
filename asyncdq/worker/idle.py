"""Waiting for work, without spinning if what is said to be ready cannot be had."""

from __future__ import annotations

import asyncio

from .reach import Reach

LONGEST_WAIT = 30.0  # seconds of one `wait`
AT_ONCE = 0.001  # seconds: a `wait` that is over sooner has not waited
TOLERATED = 3  # false alarms in a row: where workers compete, a few are normal
LONGEST_PAUSE = 0.25  # seconds


class Idle:
    """Waits for what can be had; pauses when it is called off for nothing again and again.

    That happens when somebody keeps the row of a ready message locked: it is there, and cannot be claimed.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._false_alarms = 0

    def over(self) -> None:
        """Something was claimed."""
        self._false_alarms = 0

    async def wait(self, longest: float = LONGEST_WAIT) -> None:
        """Return when something may be ready, or after about `longest` seconds. Raises DriverError."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._reach.wait(max(AT_ONCE, min(longest, LONGEST_WAIT)))
        self._false_alarms = self._false_alarms + 1 if loop.time() - began < AT_ONCE else 0
        if self._false_alarms > TOLERATED:
            await asyncio.sleep(min(LONGEST_PAUSE, AT_ONCE * 2.0 ** min(self._false_alarms, 10)))

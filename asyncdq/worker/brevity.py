"""How many successes get a log line of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MOST = 1_000  # lines a second: nobody reads more, and each takes as long as a short task


class Brevity:
    """Grants a line to the first `MOST` of each second; `tell` hears how many more there were, if there were any."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._asked = 0
        self._ending: asyncio.TimerHandle | None = None

    def grants(self) -> bool:
        """Whether this one may have its line."""
        self._asked += 1
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(1.0, self.end)
        return self._asked <= MOST

    def end(self) -> None:
        """The second is over, or the worker ends."""
        if self._ending is not None:
            self._ending.cancel()
        more, self._asked, self._ending = self._asked - MOST, 0, None
        if more > 0:
            self._tell(more)

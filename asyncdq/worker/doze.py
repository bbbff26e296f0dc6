"""A wait that can be called off: by a stop for good, by a change for this once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from ..soon import start_soon


class Doze:
    """What a shift does while there is nothing to claim."""

    def __init__(self) -> None:
        self._dozing: asyncio.Task[Any] | None = None
        self._over = False

    async def through(self, what: Coroutine[Any, Any, Any]) -> None:
        """Wait for this, or until it is called off."""
        if self._over:
            what.close()
            return
        dozing = self._dozing = start_soon(what)
        try:
            with suppress(asyncio.CancelledError):  # called off; or we are
                await dozing
        finally:
            self._dozing = None
        if (asyncio.current_task() or dozing).cancelling():
            raise asyncio.CancelledError

    def call_off(self, *, for_good: bool = False) -> None:
        """Wait no longer; `for_good`: never again either."""
        self._over = self._over or for_good
        if self._dozing is not None:
            self._dozing.cancel()

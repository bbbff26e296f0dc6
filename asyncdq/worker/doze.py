"""A wait that can be called off: by a stop for good, by a change for this once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Doze:
    """What a shift does while there is nothing to claim.

    It waits in the shift's own task: one of its own would cost a turn of the event loop when there is work again.
    """

    def __init__(self) -> None:
        self._dozing: asyncio.Task[Any] | None = None
        self._called_off = False
        self._over = False

    async def through(self, what: Coroutine[Any, Any, Any]) -> None:
        """Wait for this, or until it is called off."""
        if self._over:
            what.close()
            return
        dozing = self._dozing = asyncio.current_task()
        assert dozing is not None
        cancellations = dozing.cancelling()
        try:
            await what
        except asyncio.CancelledError:
            if dozing.cancelling() > cancellations + self._called_off:
                raise  # we are cancelled, and not by `call_off` alone
        finally:
            self._dozing = None
            if self._called_off:
                self._called_off = False
                dozing.uncancel()

    def call_off(self, *, for_good: bool = False) -> None:
        """Wait no longer; `for_good`: never again either."""
        self._over = self._over or for_good
        if self._dozing is not None and not self._called_off:
            self._called_off = True
            self._dozing.cancel()

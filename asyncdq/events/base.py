"""What an emitter of your own looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .types import Event


class Emitter(Protocol):
    """Takes events somewhere. Runs beside the work, in its event loop: it must not block.

    What it cannot take is dropped and counted, and the work goes on. It gets 5 seconds for each call.
    """

    async def emit(self, events: Sequence[Event]) -> None:
        """Take these events, the oldest first. An error drops them; after a ConnectionLost they come again."""
        ...

    async def close(self) -> None:
        """Let go of what it holds. `emit` may be called again later."""
        ...

"""What an emitter of your own looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Asking(Emitter, Protocol):
    """An emitter that can tell whether anybody listens, so that nothing is written for nobody. Ours alone."""

    async def is_heard(self) -> bool:
        """False: nobody would get the events that there are now. They are dropped, and not counted as dropped.

        Asked before an `emit` where many wait. After a ConnectionLost it is asked again; after another error the
        events are emitted.
        """
        ...

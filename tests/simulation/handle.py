"""Callbacks of the virtual loop, and what those hold who may call them off."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

Callback = tuple[Callable[..., object], tuple[Any, ...], contextvars.Context]
"""What to call, with what, and in which context: that says to which process it belongs."""


class Handle(asyncio.TimerHandle):
    """Something to be called that can be called off. Plainer than asyncio's: a world makes hundreds of them."""

    __slots__ = ("action", "values")

    def __init__(self, when: float, action: Callable[..., object], values: tuple[Any, ...]) -> None:
        self._when = when
        self.action: Callable[..., object] | None = action
        self.values = values

    def fire(self) -> None:
        """Call it, unless it was called off."""
        if self.action is not None:
            self.action(*self.values)

    def cancel(self) -> None:
        """Never call it. It is passed over when its time has come."""
        self.action = None

    def cancelled(self) -> bool:
        """Whether it was called off."""
        return self.action is None


class Certain(asyncio.Handle):
    """Stands for every callback that nobody calls off: the steps of asyncio's tasks and futures."""

    def __init__(self) -> None:
        pass

    def cancel(self) -> None:
        """It cannot be."""
        raise NotImplementedError("a callback with a context of its own cannot be called off here")


CERTAIN = Certain()

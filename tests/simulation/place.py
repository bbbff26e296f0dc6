"""Where an asyncio task waits."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import CodeType, FrameType
from typing import Any


def place(task: asyncio.Task[Any]) -> str:
    """Where the task waits, from the outside in."""
    return " > ".join(f"{code.co_qualname}:{frame.f_lineno}" for code, frame in _frames(task.get_coro()))


def _frames(awaited: Any) -> Generator[tuple[CodeType, FrameType]]:
    while awaited is not None and getattr(awaited, "cr_frame", None) is not None:
        yield awaited.cr_code, awaited.cr_frame
        awaited = awaited.cr_await

"""The time in a world."""

from __future__ import annotations

import asyncio


def running_time() -> float:
    """What the clock of the running event loop says."""
    return asyncio.get_running_loop().time()

"""What the tasks do: the same for every contender, async where it has async tasks. Standard library only."""

from __future__ import annotations

import asyncio
import time

from .tally import note

PAUSE = 0.1
"""Seconds that an I/O task waits."""

WORK = 0.0024
"""Seconds of CPU that a CPU task takes, by the clock of its thread."""


async def noop(id: int) -> None:
    """Nothing: what is left is the queue."""
    note(id)


async def stamp(id: int, sent: float) -> None:
    """Nothing, and how long ago it was sent."""
    note(id, sent)


async def io(id: int) -> None:
    """Waits, as for a web service."""
    note(id)
    await asyncio.sleep(PAUSE)  # it is the task


def cpu(id: int) -> None:
    """Keeps a core busy."""
    note(id)
    until = time.thread_time() + WORK
    while time.thread_time() < until:
        pass


def noop_sync(id: int) -> None:
    """`noop` where there are no async tasks."""
    note(id)


def stamp_sync(id: int, sent: float) -> None:
    """`stamp` where there are no async tasks."""
    note(id, sent)


def io_sync(id: int) -> None:
    """`io` where there are no async tasks."""
    note(id)
    time.sleep(PAUSE)  # it is the task


async def cpu_async(id: int) -> None:
    """`cpu` where there are only async tasks; it blocks the event loop of a process that runs nothing else."""
    cpu(id)

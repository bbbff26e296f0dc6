"""What the tests of the process pool share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from asyncdq.context import CurrentTask
from asyncdq.errors import ConnectionLost
from asyncdq.message import Call, Enqueued
from asyncdq.retry import RetryPolicy
from asyncdq.worker.job import Job, Verdict
from asyncdq.worker.pool import ProcessPool

ROOT = Path(__file__).resolve().parents[2]
TASKS = "tests.integration.pool_tasks"


class Memory:
    """A sender that keeps what it is given, and refuses what is called `refused` or `odd`."""

    def __init__(self) -> None:
        self.calls: list[Call[Any]] = []

    async def send(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        if calls[0].name == "refused":
            raise ConnectionLost("the backend is away")
        if calls[0].name == "odd":
            raise Odd("one", "two")
        self.calls += calls
        return [Enqueued(call.name, "default") for call in calls]

    def send_sync(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        raise NotImplementedError


class Odd(Exception):
    """Cannot be read back from its pickle."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def job(name: str, *args: Any, module: str = TASKS, **policy: Any) -> Job:
    current = CurrentTask("1", name, "default", 1, 3, None)
    return Job(module, name, args, {}, current, RetryPolicy(**policy), 1.0)


async def run(pool: ProcessPool, name: str, *args: Any, timeout: float | None = 30, **more: Any) -> Verdict:
    return await pool.run(job(name, *args, **more), timeout=timeout, started=lambda: None)


def begin(pool: ProcessPool, name: str, *args: Any) -> tuple[asyncio.Task[Verdict], asyncio.Event]:
    """A run in the background, and the event of its start."""
    started = asyncio.Event()
    return asyncio.create_task(pool.run(job(name, *args), timeout=None, started=started.set)), started


async def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what other processes do has no event here
            await asyncio.sleep(0.01)  # between two looks


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def pool_children() -> list[int]:
    """The processes of pools; multiprocessing's tracker is none of them."""
    return sorted(
        child.pid for child in psutil.Process().children() if any("spawn_main" in word for word in child.cmdline())
    )

"""What goes on for long, or beside the queue: events that nobody takes, memory, files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from tests.integration import jobs

from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

GROWTH = 16.0
"""Megabytes that a worker may gain between the first third of a soak and its end."""


async def events_unheard(trial: Trial) -> Report:
    """The server for events is not there, or takes connections and never answers: the work goes on as fast."""
    count = max(300, trial.scale.tasks // 4)
    alone = await _drain(trial, count)
    async with _silent() as silent:
        for url in ("redis://127.0.0.1:1/0", silent):
            took = await _drain(trial, count, "--events-enable-event-emitter-redis", "--events-redis-url", url)
            if took > 2 * alone + 2.0 * trial.crowd:
                also = [f"{count} tasks took {took:.1f} s, and {alone:.1f} s without events"]
                return await trial.report(Bounds(duplicates=0), also=also)
    return await trial.report(Bounds(duplicates=0))


async def _drain(trial: Trial, count: int, *arguments: str) -> float:
    """Seconds from a worker's first start to the last end, with so many tasks waiting for it."""
    await trial.enqueue(jobs.mark.bind() for _ in range(count))
    worker = trial.worker(*arguments, concurrency=50)
    await trial.until_it_works(worker)
    done_at = await trial.finished()
    took = done_at - trial.began(worker)[0].at
    await trial.dismiss(worker)
    return took


@asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    """The URL of a server that takes connections and never says a word."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()
        await asyncio.sleep(0)  # their sockets close now, not when the loop is gone


async def soak(trial: Trial) -> Report:
    """Under load for some time: memory and open files of the worker stay as they are."""
    seconds = trial.scale.away * 5
    worker = trial.worker(concurrency=20)
    async with trial.load(lambda: [*(jobs.mark.bind() for _ in range(20)), jobs.fail_until.bind(2)]):
        await trial.until_it_works(worker)
        await trial.wait(seconds / 3)
        before = _size(worker.pid)
        await trial.wait(seconds * 2 / 3)
        after = _size(worker.pid)
    await trial.finished()
    also = [] if after[0] - before[0] < GROWTH else [f"memory grew from {before[0]:.0f} to {after[0]:.0f} MB"]
    also += [] if after[1] - before[1] <= trial.ground.pool else [f"open files grew from {before[1]} to {after[1]}"]
    return await trial.report(Bounds(duplicates=0), also=also)


def _size(pid: int) -> tuple[float, int]:
    """Megabytes and open files of a process."""
    process = psutil.Process(pid)
    return process.memory_info().rss / 1e6, process.num_fds()


EVENTS = Scenario("19", "a server for events that never answers", events_unheard)
SOAK = Scenario("21", "memory and files under load", soak)

SCENARIOS = (EVENTS, SOAK)

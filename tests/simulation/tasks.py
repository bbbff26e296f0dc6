"""The kinds of tasks that the simulated workers run. Each writes its start and its end into the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

from asyncdq import Reject, Retry, Snooze, current_task, task

from .blocking import Span, block
from .ledger import LEDGER
from .machine import Killed
from .records import Promise
from .virtual import PROCESS


@contextmanager
def written() -> Generator[int]:
    """In the ledger from here to the end of the block; the number of this execution, from 1."""
    ledger, current = LEDGER.get(), current_task()
    execution = ledger.started(current.id, current.attempt)
    try:
        yield len(ledger.executions[current.id])
    except BaseException as error:
        ledger.ended(execution, type(error).__name__)
        raise
    else:
        ledger.ended(execution, "returned")


def _block(seconds: float, how: str = "returned") -> None:
    """The same for a function that blocks: noted from here until its seconds are over, or it is killed."""
    ledger, current = LEDGER.get(), current_task()
    execution = ledger.started(current.id, current.attempt)
    block(Span(seconds, how, partial(ledger.ended, execution)))


async def work(seconds: float) -> None:
    """Take this long."""
    if seconds:
        await asyncio.sleep(seconds)  # virtual: this is the work


@task(name="simulation.plain", max_attempts=4, retry_delay=1)
async def plain(seconds: float = 0.0) -> None:
    with written():
        await work(seconds)


@task(name="simulation.failing", max_attempts=4, retry_delay=1, retry_jitter=True)
async def failing(times: int, seconds: float = 0.0) -> None:
    with written():
        await work(seconds)
        if current_task().attempt <= times:
            raise ValueError("as told")


@task(name="simulation.snoozing", max_attempts=4)
async def snoozing(times: int, delay: float) -> None:
    with written() as number:
        if number <= times:
            raise Snooze(delay)


@task(name="simulation.retrying", max_attempts=4)
async def retrying(delay: float) -> None:
    with written():
        raise Retry("once more", delay=delay)


@task(name="simulation.rejecting", max_attempts=4)
async def rejecting() -> None:
    with written():
        raise Reject("never")


@task(name="simulation.picky", max_attempts=4, retry_on=(OSError,))
async def picky() -> None:
    with written():
        raise ValueError("not an OSError")


@task(name="simulation.despairing", max_attempts=4, give_up_on=(KeyError,))
async def despairing() -> None:
    with written():
        raise KeyError("given up on")


@task(name="simulation.endless", max_attempts=4, retry_delay=1, timeout=2)
async def endless() -> None:
    with written():
        await asyncio.get_running_loop().create_future()


@task(name="simulation.stubborn", max_attempts=4, retry_delay=1, timeout=2)
async def stubborn(seconds: float) -> None:
    """Swallows every cancellation until its time is over, at the first attempt; then it behaves."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    with written() as number:
        while number == 1 and (left := ends - loop.time()) > 0:
            try:
                await asyncio.sleep(left)  # virtual: this is the work
            except asyncio.CancelledError:
                continue


@task(name="simulation.tidy", max_attempts=4, retry_delay=1)
async def tidy(seconds: float, cleanup: float) -> None:
    """Takes its time to end when it is cancelled."""
    with written():
        try:
            await work(seconds)
        finally:
            await work(cleanup)


@task(name="simulation.exiting", max_attempts=4, retry_delay=1)
async def exiting() -> None:
    with written():
        raise SystemExit(3)


@task(name="simulation.killer", max_attempts=2)
async def killer(seconds: float) -> None:
    with written():
        await work(seconds)
        if (process := PROCESS.get()) is not None:
            process.crash()
        await asyncio.get_running_loop().create_future()


@task(name="simulation.parent", max_attempts=4, retry_delay=1)
async def parent(child: str) -> None:
    """Enqueues a child under an id of its own; a second run of the parent stores nothing new, or runs it again."""
    with written():
        LEDGER.get().promises.setdefault(child, Promise(frozenset({"done"}), 4))
        await plain.using(id=child, queue="high").enqueue(0.01)


@task(name="simulation.threaded", max_attempts=4, retry_delay=1)
def threaded(seconds: float, times: int = 0) -> None:
    """In a thread: nobody can end it before its time."""
    failing = current_task().attempt <= times
    _block(seconds, "raised" if failing else "returned")
    if failing:
        raise ValueError("as told")


@task(name="simulation.separate", max_attempts=4, retry_delay=1, process=True)
def separate(seconds: float, times: int = 0) -> None:
    """In a process of its own."""
    failing = current_task().attempt <= times
    _block(seconds, "raised" if failing else "returned")
    if failing:
        raise ValueError("as told")


@task(name="simulation.dying", max_attempts=4, retry_delay=1, process=True)
def dying(seconds: float) -> None:
    """Ends its process."""
    _block(seconds)
    raise Killed

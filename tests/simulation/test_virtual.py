"""The virtual loop and its processes: time jumps, a deadlock is named, a crash runs no cleanup."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from .virtual import Deadlock, Process, VirtualLoop, run


async def forever() -> None:
    """Wait for nothing."""
    await asyncio.get_running_loop().create_future()


async def noted(notes: list[str], seconds: float) -> None:
    """Note the cleanup, or the end."""
    try:
        await asyncio.sleep(seconds)  # virtual
        notes.append("ended")
    finally:
        notes.append("cleaned up")


def virtual_loop() -> VirtualLoop:
    """The loop that runs this."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def test_time_jumps_to_the_next_timer() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400.0)  # virtual
        return asyncio.get_running_loop().time()

    assert run(main()) == 86_400.0


def test_a_deadlock_says_where_every_task_waits() -> None:
    with pytest.raises(Deadlock, match=r"(?s)no timer is set at 0\.0.*forever:\d+"):
        run(forever())


def test_the_horizon_ends_what_would_tick_for_ever() -> None:
    async def tick() -> None:
        for _ in itertools.count():
            await asyncio.sleep(1.0)  # virtual

    with pytest.raises(Deadlock, match="past 100 seconds"):
        run(tick(), horizon=100.0)


def test_a_busy_loop_is_an_error() -> None:
    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="round and round"):
        run(spin())


def test_a_crash_runs_no_cleanup() -> None:
    async def main() -> list[str]:
        notes: list[str] = []
        process = Process(virtual_loop(), "p")
        task = process.start(noted(notes, 5.0))
        await asyncio.sleep(1.0)  # virtual
        process.crash()
        await asyncio.sleep(10.0)  # virtual
        seen = list(notes)
        process.exhume()
        await task
        return seen

    assert run(main()) == []


def test_what_a_process_starts_crashes_with_it() -> None:
    async def main() -> list[str]:
        notes: list[str] = []

        async def parent() -> None:
            await asyncio.gather(*(asyncio.create_task(noted(notes, 5.0)) for _ in range(3)))

        process = Process(virtual_loop(), "p", crash_at=2)
        task = process.start(parent())
        await asyncio.sleep(10.0)  # virtual
        seen = list(notes)
        process.exhume()
        await task
        return seen

    assert run(main()) == []


def test_a_frozen_process_goes_on_when_it_thaws() -> None:
    async def main() -> float:
        process = Process(virtual_loop(), "p")
        task = process.start(asyncio.sleep(5.0))  # virtual
        await asyncio.sleep(1.0)  # virtual
        process.freeze()
        await asyncio.sleep(100.0)  # virtual
        process.thaw()
        await task
        return asyncio.get_running_loop().time()

    assert run(main()) == 101.0

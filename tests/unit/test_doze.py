"""A doze ends early for who calls it off, and for nobody's sake hides that its task is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from asyncdq.worker.doze import Doze


async def endless() -> None:
    await asyncio.Event().wait()


async def cancelled_by_nobody() -> None:
    raise asyncio.CancelledError


async def dozing(doze: Doze) -> asyncio.Task[None]:
    """A task that is in its doze."""
    task = asyncio.create_task(doze.through(endless()))
    await asyncio.sleep(0)
    return task


async def test_it_is_called_off_once_or_for_good() -> None:
    doze = Doze()
    for for_good in (False, False, True):
        task = await dozing(doze)
        doze.call_off(for_good=for_good)
        doze.call_off(for_good=for_good)
        await task
        assert task.cancelling() == 0
    await doze.through(endless())  # it does not begin any more


async def test_a_cancellation_from_outside_is_heard_also_beside_a_call() -> None:
    for called_off in (False, True):
        doze = Doze()
        task = await dozing(doze)
        if called_off:
            doze.call_off()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 1


async def test_what_ends_cancelled_though_nobody_cancelled_us_is_over() -> None:
    doze = Doze()
    await doze.through(cancelled_by_nobody())
    task = await dozing(doze)
    doze.call_off()
    await task


async def test_a_call_that_comes_too_late_is_not_left_over() -> None:
    doze, ready = Doze(), asyncio.Event()

    async def through_and_on() -> str:
        await doze.through(asyncio.wait_for(ready.wait(), 60))
        await asyncio.sleep(0)
        return "went on"

    task = asyncio.create_task(through_and_on())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ready.set()
    doze.call_off()  # it is awake already
    assert await task == "went on"
    assert task.cancelling() == 0

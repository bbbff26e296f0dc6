"""A call that has begun runs to its end, and who waits for it hears of that."""

from __future__ import annotations

import asyncio

import pytest

from asyncdq.drivers.calls import Calls

ended: list[str] = []


async def call(name: str) -> str:
    await asyncio.sleep(0)
    ended.append(name)
    return name


async def endless_call() -> str:
    await asyncio.Event().wait()
    return "never"


async def broken_call() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


async def test_who_waits_gets_the_answer_or_the_error() -> None:
    calls = Calls()
    assert await calls.run(call("answered")) == "answered"
    with pytest.raises(ZeroDivisionError):
        await calls.run(broken_call())


async def test_a_call_ends_though_nobody_waits_for_it_any_more() -> None:
    calls = Calls()
    for each in (calls.run(call("abandoned")), calls.run(broken_call())):
        each.cancel()
    await calls.ended()
    assert "abandoned" in ended


def test_calls_of_a_loop_that_is_torn_down_end_with_it_whether_they_have_begun_or_not() -> None:
    async def leave_two() -> list[asyncio.Future[str]]:
        calls = Calls()
        begun = calls.run(endless_call())
        await asyncio.sleep(0)
        return [begun, calls.run(call("never begun"))]

    assert [each.cancelled() for each in asyncio.run(leave_two())] == [True, True]

"""What is said of a backend that does not answer."""

from __future__ import annotations

import asyncio
import logging

import pytest

from asyncdq.errors import Blocked, ConnectionLost
from asyncdq.worker.outage import Outage

from .virtual import run


def test_a_call_that_fails_while_others_go_through_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def stuck(outage: Outage) -> None:
        failures = 0

        async def call() -> None:
            nonlocal failures
            await asyncio.sleep(5)  # it takes its timeout
            failures += 1
            if failures < 6:
                raise ConnectionLost("the row is locked")

        await outage.persist(call)

    async def others(outage: Outage) -> None:
        for _ in range(100):
            outage.over()
            await asyncio.sleep(1)  # a claim a second

    async def both() -> None:
        outage = Outage()
        await asyncio.gather(stuck(outage), others(outage))

    with caplog.at_level(logging.WARNING, "asyncdq.worker"):
        run(both())
    assert [record.getMessage() for record in caplog.records] == [
        "a call fails again and again, though others go through: the row is locked; it is tried until it works"
    ]


def test_an_outage_is_no_hold_up_though_a_call_went_through_as_it_began(caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    async def call() -> None:
        nonlocal tries
        tries += 1
        if asyncio.get_running_loop().time() < 30.0:
            raise ConnectionLost("refused")

    async def down() -> int:
        outage = Outage()
        asyncio.get_running_loop().call_later(0.01, outage.over)  # what was under way when it began
        return (await outage.persist(call, stubborn=3))[1]

    with caplog.at_level(logging.WARNING, "asyncdq.worker"):
        assert run(down()) == tries - 1
    assert tries < 30
    lost, again = (record.getMessage() for record in caplog.records[-2:])
    assert "connection lost" in lost
    assert "connected again" in again


def test_a_call_that_is_in_vain_while_others_go_through_is_given_up() -> None:
    async def call() -> None:
        raise ConnectionLost("throttled")

    async def others(outage: Outage) -> None:
        while True:
            await asyncio.sleep(0.01)  # virtual
            outage.over()

    async def both() -> float:
        outage = Outage()
        going_through = asyncio.create_task(others(outage))
        with pytest.raises(ConnectionLost, match="throttled"):
            await outage.persist(call, stubborn=3)
        going_through.cancel()
        return asyncio.get_running_loop().time()

    assert run(both()) < 2.0


def test_what_is_blocked_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    async def call() -> None:
        raise Blocked("a row is locked")

    with caplog.at_level(logging.WARNING, "asyncdq.worker"), pytest.raises(Blocked):
        run(Outage().persist(call))
    assert not caplog.records

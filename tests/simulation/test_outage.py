"""What is said of a backend that does not answer."""

from __future__ import annotations

import asyncio
import logging

import pytest

from asyncdq.errors import ConnectionLost
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

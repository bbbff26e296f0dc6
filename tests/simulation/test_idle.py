"""An idle worker: woken at once, and never spinning."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asyncdq.worker.idle import LONGEST_PAUSE, TOLERATED, Idle
from asyncdq.worker.reach import Reach

from .bench import virtual
from .scripted import ScriptedDriver
from .server import Server


class Nervous(ScriptedDriver):
    """Says at once that something may be ready, always."""

    waits = 0

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """A false alarm."""
        self.waits += 1


@virtual
async def test_false_alarms_in_a_row_slow_down_to_a_pause() -> None:
    driver = Nervous(Server())
    idle = Idle(Reach(driver, ["default"], all_or_none=False))
    for _ in range(30):
        await idle.wait()
    began = asyncio.get_running_loop().time()
    await idle.wait()
    assert asyncio.get_running_loop().time() - began == LONGEST_PAUSE


@virtual
async def test_a_few_false_alarms_cost_nothing_and_a_claim_forgives_the_rest() -> None:
    driver = Nervous(Server())
    idle = Idle(Reach(driver, ["default"], all_or_none=False))
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        for _ in range(TOLERATED):
            await idle.wait()
        idle.over()
    assert asyncio.get_running_loop().time() == began
    assert driver.waits == 5 * TOLERATED

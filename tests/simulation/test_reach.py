"""A queue that is refused, and the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from asyncdq.errors import AsyncdqError, ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import Delivery, Message
from asyncdq.worker.reach import FIRST_PAUSE, LONGEST_PAUSE, Reach

from .bench import virtual
from .scripted import ScriptedDriver
from .server import Server


class Choosy(ScriptedDriver):
    """Refuses some queues, with these errors; notes which were asked for together."""

    def __init__(self) -> None:
        super().__init__(Server())
        self.refuses: dict[str, AsyncdqError] = {}
        self.asked: list[list[str]] = []
        self.checks: list[Callable[[Sequence[str]], None]] = []

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        self.asked.append(list(queues))
        self._check(list(queues))
        return await super().dequeue(queues, limit, lease)

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        self._check(queues)
        await asyncio.sleep(timeout)  # nothing comes

    def _check(self, queues: Sequence[str]) -> None:
        for check in self.checks:
            check(queues)
        for queue in queues:
            if queue in self.refuses:
                raise self.refuses[queue]


async def ready() -> tuple[Choosy, Reach]:
    driver = Choosy()
    await driver.connect()
    reach = Reach(driver, ["sick", "well"], all_or_none=False)
    await reach.dequeue(1, 60)
    return driver, reach


@virtual
async def test_who_refuses_is_left_out_and_asked_again_later_and_later_alone() -> None:
    driver, reach = await ready()
    driver.refuses["sick"] = DriverError("no")
    await driver.enqueue([Message("a", "well", b""), Message("b", "well", b"")])
    assert [each.id for each in await reach.dequeue(1, 60)] == ["a"]
    driver.asked.clear()
    loop = asyncio.get_running_loop()
    times: list[float] = []
    while len(times) < 9:
        await reach.wait(1000)
        times.append(loop.time())
        await reach.dequeue(1, 60)
    pauses = [round(later - before) for before, later in pairwise(times)]
    assert pauses == [2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert driver.asked == [["sick"], ["well"]] * 9
    del driver.refuses["sick"]
    await reach.wait(1000)
    await driver.enqueue([Message("c", "sick", b"")])
    assert [each.id for each in await reach.dequeue(1, 60)] == ["c"]
    driver.asked.clear()
    await reach.dequeue(1, 60)
    assert driver.asked == [["sick", "well"]]


@virtual
async def test_who_was_not_asked_for_want_of_room_is_not_had_again() -> None:
    driver = Choosy()
    await driver.connect()
    reach = Reach(driver, ["first", "second", "well"], all_or_none=False)
    driver.refuses = {"first": DriverError("no"), "second": DriverError("no")}
    await reach.dequeue(1, 60)
    del driver.refuses["first"]
    await driver.enqueue([Message("a", "first", b"")])
    await asyncio.sleep(2 * FIRST_PAUSE)  # by then both are to be asked again
    assert [each.id for each in await reach.dequeue(1, 60)] == ["a"]
    driver.asked.clear()
    await reach.dequeue(1, 60)
    assert driver.asked == [["second"], ["first", "well"]]


@virtual
async def test_a_connection_that_is_lost_while_it_is_sorted_out_is_no_refusal() -> None:
    driver, reach = await ready()
    driver.refuses["well"] = DriverError("no")

    def lose(queues: Sequence[str]) -> None:
        if queues == ["sick"]:
            raise ConnectionLost("away")

    driver.checks.append(lose)
    with pytest.raises(ConnectionLost):
        await reach.dequeue(1, 60)


@virtual
async def test_a_wait_that_is_refused_finds_out_by_whom() -> None:
    driver, reach = await ready()
    driver.refuses["sick"] = DriverError("no")
    await reach.wait(10)
    began = asyncio.get_running_loop().time()
    await reach.wait(10)
    assert asyncio.get_running_loop().time() - began == pytest.approx(FIRST_PAUSE, abs=0.1)


@virtual
async def test_if_all_refuse_that_is_the_error() -> None:
    driver, reach = await ready()
    driver.refuses["sick"] = DriverError("no sick")
    assert await reach.dequeue(1, 60) == []
    driver.refuses["well"] = DriverError("no well")
    with pytest.raises(DriverError, match="no well"):
        await reach.dequeue(1, 60)


@virtual
async def test_a_lost_connection_is_raised_and_nobody_is_left_out() -> None:
    driver, reach = await ready()
    driver.refuses["sick"] = ConnectionLost("away")
    with pytest.raises(ConnectionLost):
        await reach.dequeue(1, 60)
    driver.refuses.clear()
    driver.asked.clear()
    await reach.dequeue(1, 60)
    assert driver.asked == [["sick", "well"]]


@virtual
async def test_the_first_claim_of_all_does_not_hide_a_mistake_in_the_configuration() -> None:
    driver = Choosy()
    await driver.connect()
    driver.refuses["sick"] = ConfigurationError("no such option")
    with pytest.raises(ConfigurationError):
        await Reach(driver, ["sick", "well"], all_or_none=False).dequeue(1, 60)


@virtual
async def test_who_empties_queues_leaves_none_out() -> None:
    driver = Choosy()
    await driver.connect()
    driver.refuses["sick"] = DriverError("no")
    with pytest.raises(DriverError):
        await Reach(driver, ["sick", "well"], all_or_none=True).dequeue(1, 60)


@virtual
async def test_who_empties_queues_asks_a_driver_that_leaves_one_out_for_each_alone() -> None:
    driver = Choosy()
    await driver.connect()
    driver.limits = replace(driver.limits, leaves_out=True)

    def alone(queues: Sequence[str]) -> None:
        if queues == ["sick"]:
            raise ConnectionLost("no leader")

    driver.checks.append(alone)
    with pytest.raises(ConnectionLost, match="no leader"):
        await Reach(driver, ["well", "sick"], all_or_none=True).dequeue(1, 60)
    assert await Reach(driver, ["well", "sick"], all_or_none=False).dequeue(1, 60) == []

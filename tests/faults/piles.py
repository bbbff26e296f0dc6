"""What a claim costs when very many tasks are ready, or are dead: as much as from an empty table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from asyncdq import drivers
from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Dead, Done, Message
from asyncdq.names import new_id
from tests.integration import jobs

from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

PILE = "pile"
MOST_DEAD = 100_000
STRETCHES, ROUNDS = 3, 100

FACTOR = 2.0
"""How many times as long a claim may take. An index of a million rows is two or three pages deeper than one of a row,
which is next to nothing beside a round trip; to read what is in the table is hundreds of times as much."""


async def claims(trial: Trial) -> Report:
    """Claims of one task from a table of many, from one with many dead letters, and from one that is else empty.

    The three take turns, so whatever else the machine does is the same for all; a median leaves out who was
    interrupted, and the least of several a stretch in which a vacuum was at one of them. Then a worker does tasks of
    another queue of the large table.
    """
    dead = drivers.from_url(trial.ground.beside(trial.site.url, "dead"))
    empty = drivers.from_url(trial.ground.beside(trial.site.url, "empty"))
    async with dead, empty:
        stores = {"many ready": trial.site.client.driver, "many dead": dead, "none": empty}
        for driver in stores.values():
            await driver.setup()
        await _fill(stores["many ready"], trial.scale.rows)
        await _bury(dead, min(trial.scale.rows, MOST_DEAD))
        took = await _measured(trial, stores)
    also = [
        f"with {name}, a claim took {1000 * seconds:.2f} ms, and {1000 * took['none']:.2f} ms from an empty table"
        for name, seconds in took.items()
        if seconds > FACTOR * took["none"]
    ]
    await trial.enqueue(jobs.mark.bind() for _ in range(300))
    trial.worker()
    await trial.finished()
    return await trial.report(Bounds(duplicates=0), also=also)


def _some(count: int) -> list[Message]:
    return [Message(new_id(), PILE, b"x" * 100) for _ in range(count)]


async def _fill(driver: BaseDriver, count: int) -> None:
    while count > 0:
        await driver.enqueue(_some(min(count, driver.limits.batch)))
        count -= driver.limits.batch


async def _bury(driver: BaseDriver, count: int) -> None:
    while count > 0:
        await driver.enqueue(_some(min(count, driver.limits.batch)))
        found = await driver.dequeue({PILE: count}, min(count, driver.limits.batch), 60.0)
        await driver.settle([(delivery, Dead("attempts")) for delivery in found])
        count -= len(found)


async def _measured(trial: Trial, stores: Mapping[str, BaseDriver]) -> dict[str, float]:
    """Seconds of a claim from each: the least of the medians of some stretches."""
    medians = [await _stretch(trial, stores) for _ in range(STRETCHES)]
    return {name: min(each[name] for each in medians) for name in stores}


async def _stretch(trial: Trial, stores: Mapping[str, BaseDriver]) -> dict[str, float]:
    """Before each claim a task is added, and what was claimed is done: the tables stay as large as they are."""
    took: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(ROUNDS):
        for name in trial.rng.sample(list(stores), len(stores)):
            driver = stores[name]
            await driver.enqueue(_some(1))
            began = time.perf_counter()
            (delivery,) = await driver.dequeue({PILE: 1}, 1, 60.0)
            took[name].append(time.perf_counter() - began)
            await driver.settle([(delivery, Done())])
    return {name: statistics.median(each) for name, each in took.items()}


PILES = Scenario("16", "claims from a table of many, and of many dead", claims, frozenset({"tables"}))

SCENARIOS = (PILES,)

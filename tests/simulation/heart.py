"""A worker, whole or without its skin.

The skin is what `asyncdq.Worker` wraps around its heart: the options and their checks, signals, the connection,
the client through which tasks enqueue, heartbeats. To put it on and off is two fifths of the time of a world with
one task. So most worlds have bare hearts: the same parts of the product, wired as `crew.assemble` does it, and ended
in the same order. What only the skin can get wrong is looked for in the other worlds.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from asyncdq import Worker, serializers
from asyncdq.drivers.base import BaseDriver
from asyncdq.errors import ConnectionLost
from asyncdq.worker.config import Config
from asyncdq.worker.crew import LAST_OUTCOMES, Crew
from asyncdq.worker.executor import Executor
from asyncdq.worker.journal import Journal
from asyncdq.worker.leases import Leases
from asyncdq.worker.outage import Outage
from asyncdq.worker.plan import Planner
from asyncdq.worker.pool import ProcessPool
from asyncdq.worker.settler import Settler
from asyncdq.worker.shift import Shift

from .parts import REAL, Parts

NO_THREADS = ThreadPoolExecutor(1)  # starts none unless it is used; the virtual loop has threads of its own
READERS = {reader.content_type: reader for reader in map(serializers.load, ("msgpack", "json"))}

planner = lru_cache(Planner)
"""Plans are the same for all workers that were told the same."""


class SimulatedWorker(Worker):
    """The real one, of these parts."""

    def __init__(self, driver: BaseDriver, *, parts: Parts = REAL, **options: Any) -> None:
        super().__init__(driver, **options)
        self._machine = parts.machine
        self._parts = parts

    def _begin(self, crew: Crew) -> Shift:
        return self._parts.shift(self._config, self._parts.crew(self._config, crew))


class Heart:
    """A worker without its skin, on a driver that is connected."""

    def __init__(self, driver: BaseDriver, config: Config, parts: Parts = REAL) -> None:
        self.left_behind = 0  # tasks that could not be ended
        self._driver = driver
        self._config = config
        self._parts = parts
        self._shift: Shift | None = None
        self._stopped = self._hurried = False

    def stop(self, *, now: bool = False) -> None:
        """Let it end; `now`: cancel what is running, too."""
        self._stopped = True
        self._hurried = self._hurried or now
        if self._shift is not None:
            self._shift.stop(hurry=self._hurried)

    async def start(self, *, handle_signals: bool = False) -> None:
        """Work to the end; signals are the skin's."""
        driver, config, parts, outage = self._driver, self._config, self._parts, Outage()
        settler, leases = Settler(driver, outage), Leases(driver, outage)
        pool = ProcessPool(config.process_pool_size or 1, start=parts.machine.start)
        executor = Executor(NO_THREADS, pool, READERS)
        plans = planner(config.retry, config.timeout, config.visibility_timeout, driver.limits.hold)
        crew = Crew(driver, executor, settler, leases, plans, Journal(), outage, None)
        shift = self._shift = parts.shift(config, parts.crew(config, crew))
        if self._stopped:
            shift.stop(hurry=self._hurried)
        try:
            await shift.claim()
        finally:
            self.left_behind = await shift.finish(config.grace_period) + executor.threads_left
            self._shift = None
            await pool.close()
            await leases.close()
            if not await settler.drain(LAST_OUTCOMES):
                raise ConnectionLost("the last outcomes are not written")

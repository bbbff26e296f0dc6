"""All that a shift works with, each outliving what depends on it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from .. import serializers
from ..client import Client
from ..drivers.base import BaseDriver
from ..errors import ConnectionLost
from ..signing import Keyring
from .config import Config
from .executor import Executor
from .journal import Journal
from .leases import Leases
from .outage import Outage
from .plan import Planner
from .pool import ProcessPool
from .process import PoolProcess
from .settler import Settler
from .watchdog import NameOf, Patience, Watchdog

LAST_OUTCOMES = 10.0  # seconds that a worker which ends tries to write its last outcomes


@dataclass(frozen=True, slots=True)
class Machine:
    """What a worker takes from the machine it runs on: how a process starts, and what watches the event loop."""

    start: Callable[..., PoolProcess] = PoolProcess
    watch: Callable[[Patience, NameOf], AbstractContextManager[object]] = Watchdog


REAL = Machine()


@dataclass(frozen=True, slots=True)
class Crew:
    """The driver, and what the worker has built around it. With a `keyring` only signed messages are run."""

    driver: BaseDriver
    executor: Executor
    settler: Settler
    leases: Leases
    planner: Planner
    journal: Journal
    outage: Outage
    keyring: Keyring | None


@asynccontextmanager
async def assemble(
    config: Config, client: Client, outage: Outage, keyring: Keyring | None = None, machine: Machine = REAL
) -> AsyncGenerator[Crew]:
    """A crew on the client's driver. On leaving: processes and threads end, then renewal, then the last
    outcomes are written; ConnectionLost if they cannot be."""
    driver, journal = client.driver, Journal(client.events)
    async with AsyncExitStack() as stack:
        stack.callback(journal.offline)
        settler = Settler(driver, outage)
        stack.push_async_callback(_write_last, settler)
        leases = Leases(driver, outage)
        stack.push_async_callback(leases.close)
        threads = ThreadPoolExecutor(config.concurrency, thread_name_prefix="asyncdq")
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        size = _cpus() if config.process_pool_size is None else config.process_pool_size
        recycled = config.process_pool_max_tasks_per_child
        initializer = config.process_pool_initializer
        start = machine.start if initializer is None else partial(machine.start, initializer)
        pool = ProcessPool(size, max_tasks_per_child=recycled, sender=client, start=start)
        stack.push_async_callback(pool.close)
        readers = [*map(serializers.load, ("msgpack", "json")), client.serializer]
        executor = Executor(threads, pool, {reader.content_type: reader for reader in readers})
        planner = Planner(
            config.retry, config.timeout, config.visibility_timeout, driver.limits.hold, config.attempts_cap
        )
        yield Crew(driver, executor, settler, leases, planner, journal, outage, keyring)


async def _write_last(settler: Settler) -> None:
    if not await settler.drain(LAST_OUTCOMES):
        raise ConnectionLost(
            "the last outcomes could not be written in time, their tasks will run again: the backend does not answer,"
            " or something holds them up"
        )


def _cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1

"""The server in memory keeps the drivers' contract: the suite of the real drivers, on virtual time.

Left out are the modules that watch the machine itself (threads, processes, the clock on the wall): here is none.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asyncdq.testing import Backend, Store
from asyncdq.testing.suite import (
    test_concurrency,
    test_counters,
    test_dead_letters,
    test_dequeue,
    test_enqueue,
    test_lease_and_fence,
    test_settle,
    test_stats_and_purge,
)

from .scripted import Network, ScriptedDriver
from .server import Server
from .virtual import run

MODULES = [
    test_concurrency,
    test_counters,
    test_dead_letters,
    test_dequeue,
    test_enqueue,
    test_lease_and_fence,
    test_settle,
    test_stats_and_purge,
]


@pytest.fixture
def store() -> Store:
    server = Server()
    return lambda: ScriptedDriver(server, Network(slowest=0.0001))  # so calls arrive in order


@pytest.fixture
def backend(store: Store) -> Backend:
    return Backend(id="simulated", store=lambda folder: store)


@pytest.fixture
def driver(store: Store) -> object:
    return store()


@pytest.fixture
def second(driver: object, store: Store) -> object:
    return store()


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test with the same parameters, as a plain function."""

    @functools.wraps(test)
    def wrapped(**fixtures: Any) -> None:
        async def main() -> None:
            for each in fixtures.values():
                if isinstance(each, ScriptedDriver):
                    await each.connect()
            await test(**fixtures)

        run(main())

    return wrapped


for module in MODULES:
    for name, test in vars(module).items():
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            assert name not in globals(), f"two modules of the suite have a {name}"
            globals()[name] = on_virtual_time(test)
del module, name, test

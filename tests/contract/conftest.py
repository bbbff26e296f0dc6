"""Every test that names `driver`, `store` or `second` runs once on each backend that has what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncdq.drivers.base import BaseDriver
from tests.contract.backends import BACKENDS, Backend, Store
from tests.servers.fixtures import skip_unless_selected


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*traits): run only on backends of which these traits are true")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" not in metafunc.fixturenames:
        return
    traits = {trait for mark in metafunc.definition.iter_markers("needs") for trait in mark.args}
    if "second" in metafunc.fixturenames:
        traits.add("shared")
    chosen = [backend for backend in BACKENDS if backend.has(traits)]
    metafunc.parametrize("backend", chosen, ids=[backend.id for backend in chosen])


@pytest.fixture
def store(backend: Backend, tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    """A new and empty store."""
    skip_unless_selected(backend.driver, request.config)
    return backend.store(tmp_path)


@pytest.fixture
async def driver(store: Store) -> AsyncIterator[BaseDriver]:
    """A connected driver on a store that is set up and empty."""
    async with store() as driver:
        await driver.setup()
        yield driver


@pytest.fixture
async def second(driver: BaseDriver, store: Store) -> AsyncIterator[BaseDriver]:
    """Another connected driver on the store of `driver`, as another process would have."""
    async with store() as second:
        yield second

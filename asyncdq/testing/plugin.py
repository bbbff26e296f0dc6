"""What pytest gets from here: every test that names `driver`, `store` or `second` runs on each backend that can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..drivers.base import BaseDriver
from .backend import Backend, Store

pytest.register_assert_rewrite("asyncdq.testing.claims", "asyncdq.testing.model")


class Hooks:
    """What a conftest.py, or `python -m asyncdq.testing`, answers."""

    @pytest.hookspec(firstresult=True)
    def pytest_asyncdq_backends(self, config: pytest.Config) -> list[Backend] | None:
        """The backends to test."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let others say which backends there are."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark `needs` known."""
    config.addinivalue_line("markers", "needs(*traits): run only on backends of which these traits are true")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the test once on each backend that has all the traits it needs."""
    module = metafunc.definition.getparent(pytest.Module)
    if "backend" not in metafunc.fixturenames or hasattr(module and module.obj, "backend"):
        return  # not asked for, or the module makes its own
    traits = {trait for mark in metafunc.definition.iter_markers("needs") for trait in mark.args}
    if "second" in metafunc.fixturenames:
        traits.add("shared")
    backends: list[Backend] = metafunc.config.hook.pytest_asyncdq_backends(config=metafunc.config) or []
    chosen = [pytest.param(backend, id=backend.id) for backend in backends if backend.has(traits)]
    nothing = pytest.mark.skip(reason=f"no backend here has: {', '.join(sorted(traits))}")
    metafunc.parametrize("backend", chosen or [pytest.param(None, id="none", marks=nothing)])


@pytest.fixture
def store(backend: Backend, tmp_path: Path) -> Store:
    """A new and empty store."""
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

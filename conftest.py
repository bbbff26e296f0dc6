"""The options --drivers and --servers, the fixtures that every folder may use, and the matrix at the end."""

import pytest

from asyncdq.testing import Backend
from tests.matrix import Matrix
from tests.servers import fixtures
from tests.servers.fixtures import (
    own_server,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_unconfigure,
    queue_url,
)
from tests.servers.together import pytest_xdist_make_scheduler

__all__ = [
    "own_server",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_unconfigure",
    "pytest_xdist_make_scheduler",
    "queue_url",
]


def pytest_configure(config: pytest.Config) -> None:
    fixtures.pytest_configure(config)
    if not hasattr(config, "workerinput"):  # with -n: the process that hears of all tests
        config.pluginmanager.register(Matrix(fixtures.selected(config)), "asyncdq-matrix")


def pytest_asyncdq_backends(config: pytest.Config) -> list[Backend]:
    """Those of tests/contract/backends.py that --drivers does not leave out."""
    from tests.contract.backends import BACKENDS  # not before the plugin, which rewrites the suite's asserts

    return [backend for name, backend in BACKENDS if name in fixtures.selected(config)]

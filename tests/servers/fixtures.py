"""What pytest gets from here: options of the command line, and stores and servers as fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncdq import drivers

from .server import Server
from .sources import CHOICE, KINDS, close_shared, private, shared

KNOWN = ("sqlite", *KINDS)
"""The drivers that there are stores for."""

DRIVERS = [driver.name for driver in drivers.BACKENDS]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("asyncdq")
    group.addoption("--drivers", metavar="NAMES", help=f"only these, separated by commas (default: {','.join(KNOWN)})")
    group.addoption("--servers", choices=["native", "docker"], help="take private servers from there only")


def pytest_configure(config: pytest.Config) -> None:
    names = selected(config)
    if unknown := names - set(KNOWN):
        raise pytest.UsageError(f"--drivers: there is no {', '.join(sorted(unknown))}; known are: {', '.join(KNOWN)}")
    if os.environ.get("CI") and names < set(KNOWN):
        raise pytest.UsageError("--drivers: where CI is set, all drivers are tested")
    if source := config.getoption("--servers"):
        os.environ[CHOICE] = source  # so that the processes which a test starts choose likewise


def pytest_unconfigure() -> None:
    close_shared()


def selected(config: pytest.Config) -> set[str]:
    """The drivers that are to be tested."""
    asked: str | None = config.getoption("--drivers")
    return {name.strip() for name in asked.split(",")} if asked else set(KNOWN)


def skip_unless_selected(name: str, config: pytest.Config) -> None:
    """Skip the test if --drivers leaves out its driver; a server that is missing is an error."""
    if name not in selected(config):
        pytest.skip(f"--drivers leaves out {name}")


def new_store(name: str, folder: Path) -> str:
    """The URL of a store of this driver that is new and empty until the next one is made."""
    if name == "sqlite":
        return f"sqlite://{folder}/queue.db"
    server = shared(name)
    server.empty()
    return server.url


@pytest.fixture(params=DRIVERS)
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new and empty store that several processes can use: once on each driver.

    For one driver: `@pytest.mark.parametrize("queue_url", ["sqlite"], indirect=True)`.
    """
    skip_unless_selected(request.param, request.config)
    return new_store(request.param, tmp_path)


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A private server that this test may break, running: once on each kind that there is."""
    skip_unless_selected(request.param, request.config)
    with private(request.param) as server:
        yield server

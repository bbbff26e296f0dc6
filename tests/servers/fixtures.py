"""What pytest gets from here: options of the command line, and stores and servers as fixtures."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncdq import drivers

from .server import Server
from .sources import CHOICE, KINDS, close_shared, private, shared

KNOWN = ("sqlite", *KINDS, "memory")
"""The drivers that --drivers may name; the one in memory is an example, and not in asyncdq.drivers."""

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
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a script: what a test starts would inherit it, and be deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    close_shared()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the drivers that --drivers leaves out."""
    wanted = {None, *selected(config)}
    left_out = {item for item in items if driver_of(item.nodeid) not in wanted}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def driver_of(node: str) -> str | None:
    """The driver that the test with this node id is run on, as far as its parameters or its file's name say it."""
    path, _, parameters = node.partition("[")
    stem = path.partition("::")[0].rpartition("/")[2]
    words = re.split(r"[\W_]+", f"{stem} {parameters}")
    return next((name for name in KNOWN if name in words), None)


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
    return KINDS[name].fresh(shared(name).url)


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

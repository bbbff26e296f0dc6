"""Which tests run in the same process, where there are several: those of one server, which each process has of its own.

Not by the marks of `--dist loadgroup`, which has no effect with pytest 9.2 (pytest-xdist issue 1386): then each process
starts each server, and all of them together take twice the time.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

from .fixtures import driver_of
from .sources import KINDS

FILES = ("test_servers.py", "test_typing.py")
"""Those whose tests share what takes long, or would disturb each other."""


class Together(LoadScopeScheduling):
    """Gives each group to one process, the largest group first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(node: str) -> str:
    """The group of the test with this node id; its own if it shares nothing."""
    name, driver = node.partition("::")[0].rpartition("/")[2], driver_of(node)
    if driver in KINDS:
        return f"{driver} {name}" if KINDS[driver].light else driver
    return name if name in FILES else node


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Called by pytest-xdist in the process that runs no tests."""
    return Together(config, log)

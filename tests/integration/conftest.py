"""Every test that names `site` runs once on each driver that is selected, unless it says `sqlite_only`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers import Server

from .ledger import VARIABLE
from .workers import Site, site_on


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than 10 seconds")


@pytest.fixture
async def site(queue_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A new and empty store, an open client on it, and the ledger."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    async with site_on(queue_url, tmp_path) as site:
        yield site


@pytest.fixture
async def own_site(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Site, Server]]:
    """A site, and the private server that it is on: the test may break that."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    async with site_on(own_server.url, tmp_path) as site:
        yield site, own_server

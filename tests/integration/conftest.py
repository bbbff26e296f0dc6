"""Every test that names `site` runs once on each store of STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncdq import Client

from .ledger import VARIABLE, Ledger
from .workers import Site

STORES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite://{folder}/queue.db",
}
"""Makes the URL of a new and empty store that several processes can use; the folder is the test's own."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than 10 seconds")


@pytest.fixture(params=STORES)
async def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A new and empty store, an open client on it, and the ledger."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    url = STORES[request.param](tmp_path)
    async with Client.from_url(url) as client:
        site = Site(client, url, tmp_path, Ledger(tmp_path / "ledger"))
        try:
            yield site
        finally:
            site.close()

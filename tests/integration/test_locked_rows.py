"""Somebody has a row locked, as in a transaction at a terminal that was left open: what else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiomysql
import asyncpg
import pytest

from asyncdq.drivers.mysql_link import ask

from . import jobs
from .workers import Site, counts

pytestmark = pytest.mark.parametrize("queue_url", ["postgres", "mysql"], indirect=True)


@asynccontextmanager
async def locked(url: str, id: str) -> AsyncIterator[None]:
    """A transaction that has locked the row of this message, and is left open."""
    lock = f"select id from task_queue where queue = 'default' and id = '{id}' for update"
    if url.startswith("postgres"):
        session = await asyncpg.connect(url)
        async with session.transaction():
            await session.fetch(lock)
            yield
        await session.close()
    else:
        at = urlsplit(url)
        terminal = await aiomysql.connect(
            at.hostname or "", at.username, at.password or "", at.path[1:], at.port or 3306, autocommit=True
        )
        await ask(terminal, f"begin; {lock}")
        yield
        await ask(terminal, "rollback")
        await terminal.ensure_closed()


async def test_a_row_that_stays_locked_holds_up_no_outcome_but_its_own(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (held,) = await site.enqueue([jobs.hold.bind(site.gate)])
    url, site.url = site.url, f"{site.url}?timeout=4"
    async with site.working(concurrency=4):
        await site.started(1)
        async with locked(url, held):
            site.open_gate()
            await site.ended(1)
            await site.enqueue(jobs.mark.bind() for _ in range(100))
            await site.ended(101)  # far more than slots: outcomes that are not written keep theirs
            await site.wait_for_stats(ready=0, leased=1)
            await site.until(lambda: "call_stuck" in events(caplog))
            await site.enqueue([jobs.mark.bind()])
            await site.wait_for_stats(ready=0, leased=1)
        await site.wait_for_stats(ready=0, leased=0)
    assert len(site.ledger.starts()) == 102
    assert events(caplog).count("call_stuck") == 1
    assert "connection_lost" not in events(caplog)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The names of what was logged."""
    return [getattr(record, "event", "") for record in caplog.records]


async def test_a_row_that_stays_locked_ends_no_lease_but_its_own(site: Site) -> None:
    held, *others = await site.enqueue(jobs.hold.bind(site.gate) for _ in range(5))
    url, ends = site.url, asyncio.get_running_loop().time() + 3 * 3.0
    async with site.working(concurrency=5, visibility_timeout=3.0):
        await site.started(5)
        async with locked(url, held):
            await site.until(lambda: asyncio.get_running_loop().time() > ends)  # three leases
            assert counts(await site.stats(), leased=4)
            site.open_gate()
        await site.wait_for_stats(ready=0, leased=0)
    assert [len(site.ledger.starts(id)) for id in others] == [1] * 4

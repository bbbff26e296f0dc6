"""Signed messages on every driver: what a message is signed for, its id, queue and body, survives what drivers do."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncdq import Client
from asyncdq.drivers.base import DeadLetters

from . import jobs
from .workers import Site, sqlite_only

KEY = "a-key-of-the-whole-site"
FAILING = jobs.fail_until.using(id="order/17", queue="high").bind(2)


@pytest.fixture
def signed(site: Site, tmp_path: Path) -> Client:
    """A client with the key, on the driver of the site, whose workers have it from a file."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    site.environment["ASYNCDQ_SIGNING_KEYS"] = f"@{tmp_path / 'key'}"
    return Client(site.client.driver, signing_keys=KEY)


async def test_a_signed_message_is_run_after_a_delay_after_a_failure_and_after_a_burial(
    site: Site, signed: Client
) -> None:
    async with signed:
        (stored,) = await signed.enqueue_many([jobs.fail.using(delay=0.5, queue="high").bind()])
        await signed.enqueue_many([FAILING])
    worker = await site.start("-q", "high").ready()
    await site.wait_for_stats("high", ready=0, delayed=0, leased=0, dead=1)
    driver = site.client.driver
    assert isinstance(driver, DeadLetters)
    await driver.requeue("high", [stored.id])
    await site.started(4)
    await site.wait_for_stats("high", ready=0, delayed=0, leased=0, dead=1)
    assert {letter.reason for letter in (await site.dead("high")).values()} == {"attempts"}
    assert KEY not in worker.log


async def test_a_message_that_nobody_signed_is_buried_at_once_beside_the_signed_ones(
    site: Site, signed: Client
) -> None:
    await site.client.enqueue_many([jobs.mark.using(id="unsigned").bind()])
    async with signed:
        await signed.enqueue_many([jobs.mark.bind()])
    assert await site.start("--burst").exited() == 0
    letters = await site.dead()
    assert {id: (letter.reason, letter.attempts) for id, letter in letters.items()} == {"unsigned": ("unsigned", 1)}
    assert len(site.ledger.starts()) == 1


@sqlite_only
async def test_what_tasks_of_every_kind_and_scripts_and_the_command_line_enqueue_is_signed(
    site: Site, signed: Client
) -> None:
    async with signed:
        await signed.enqueue_many([jobs.enqueue.bind(2), jobs.enqueue_in_thread.bind(), jobs.enqueue_in_process.bind()])
    await site.script(f"import asyncio\nfrom {jobs.__name__} import mark\nasyncio.run(mark.enqueue())")
    await site.script(f"import sys\nfrom asyncdq.cli.app import run\nrun(['enqueue', '{jobs.mark.name}'])")
    worker = site.start("--burst", "--log-format", "json")
    assert await worker.exited() == 0
    assert await site.dead() == {}
    assert len([event for event in worker.events() if event.get("event") == "task_completed"]) == 8
    assert KEY not in worker.log

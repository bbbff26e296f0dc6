"""The ledger finds what is wrong: drivers with planted bugs, run by real workers, are caught by it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from subprocess import DEVNULL

from asyncdq import Worker
from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.message import Delivery, Done, Outcome

from . import jobs
from .workers import Site, sqlite_only

pytestmark = sqlite_only


class ClaimsTwice(SQLiteDriver):
    """Hands every message out twice."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        first = await super().dequeue(queues, limit, lease)
        return [*first, *(Delivery(d.id, d.queue, d.body, d.attempt, d.lost, d.receipt) for d in first)]


class WithoutLease(SQLiteDriver):
    """Hides nothing from other workers, and never says that a lease is lost."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        return await super().dequeue(queues, limit, 0.0)

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        return []

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        await super().settle(outcomes)
        return []


class ForgetsEarly(SQLiteDriver):
    """Takes every message off the queue when it is handed out."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        deliveries = await super().dequeue(queues, limit, lease)
        await self.settle([(delivery, Done()) for delivery in deliveries])
        return deliveries


RUN = """
import asyncio
from asyncdq import Worker
from tests.integration import jobs
from tests.integration.test_ledger import ForgetsEarly
asyncio.run(Worker(ForgetsEarly("queue.db")).start())
"""


async def work(site: Site, *drivers: SQLiteDriver) -> None:
    """Let a worker run on each of these drivers until all is done."""
    workers = [Worker(driver, visibility_timeout=5.0) for driver in drivers]
    running = [asyncio.create_task(worker.start(handle_signals=False)) for worker in workers]
    await site.until(lambda: not site.ledger.lost())
    for worker in workers:
        worker.stop()
    await asyncio.gather(*running)


async def test_a_message_that_is_claimed_twice_is_found(site: Site) -> None:
    await site.enqueue([jobs.linger.bind(0.05)])
    await work(site, ClaimsTwice(site.folder / "queue.db"))
    assert site.ledger.repeated()


async def test_a_message_that_is_claimed_without_a_lease_is_found(site: Site) -> None:
    await site.enqueue([jobs.linger.bind(0.2)])
    await work(site, WithoutLease(site.folder / "queue.db"), WithoutLease(site.folder / "queue.db"))
    assert site.ledger.repeated()


async def test_a_message_that_is_forgotten_before_it_is_done_is_found(site: Site) -> None:
    ids = await site.enqueue([jobs.hold.bind(site.gate), jobs.mark.bind()])
    command = [sys.executable, "-c", RUN]
    worker = await asyncio.create_subprocess_exec(*command, cwd=site.folder, env=site.environment, stderr=DEVNULL)
    await site.started(2)
    worker.kill()
    await worker.wait()
    site.open_gate()
    await site.burst()
    assert site.ledger.lost() == {ids[0]}


async def test_nothing_is_found_where_nothing_is_wrong(site: Site) -> None:
    await site.enqueue([jobs.linger.bind(0.05), jobs.mark.bind()])
    await work(site, SQLiteDriver(site.folder / "queue.db"), SQLiteDriver(site.folder / "queue.db"))
    assert (site.ledger.repeated(), site.ledger.lost()) == ([], set())

"""Many workers on few tasks, payloads as large as they may be, and passwords that URLs have other uses for."""

from __future__ import annotations

import hashlib
from collections import Counter

from asyncdq import Client
from asyncdq.errors import ConfigurationError
from tests.integration import jobs
from tests.integration.workers import site_on

from .account import Promise
from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

WORKERS, SLOTS, TASKS = 8, 2, 20

MEGABYTE = 2**20
FRAME = 1024
"""Bytes of a body that are not payload, at most."""

PASSWORD, WRITTEN = "p@ss:w@rd/ %", "p%40ss:w@rd%2F%20%25"
"""A password, and how it stands in a DSN."""


async def shared(trial: Trial) -> Report:
    """Eight workers, and tasks for nearly all of their slots: each gets its share, and no task is run twice."""
    staff = [trial.worker("--claim-ahead", "0", concurrency=SLOTS, lease=30.0) for _ in range(WORKERS)]
    await trial.ready(*staff)
    held = set(await trial.enqueue(jobs.hold.bind(trial.site.gate) for _ in range(TASKS)))

    def shares() -> Counter[int]:
        return Counter(entry.pid for entry in trial.site.ledger.starts() if entry.id in held)

    await trial.until(lambda: sum(shares().values()) == WORKERS * SLOTS)
    fair = set(shares().values()) == {SLOTS} and len(shares()) == WORKERS
    also = [] if fair else [f"eight workers with two slots each have {sorted(shares().values())} of twenty tasks"]
    trial.site.open_gate()
    await trial.finished()
    return await trial.report(Bounds(duplicates=0, twice=0), also=also)


async def large(trial: Trial) -> Report:
    """Payloads of a megabyte, or the largest that the backend takes; each is retried once, and is the same again."""
    size = min(MEGABYTE, trial.site.client.driver.limits.body - FRAME)
    payloads = [trial.rng.randbytes(size) for _ in range(20)]
    ids = await trial.enqueue((jobs.digest.bind(payload) for payload in payloads), Promise(most=2))
    for _ in range(2):
        trial.worker(lease=10.0)
    await trial.finished()
    sums = {id: hashlib.sha256(payload).hexdigest() for id, payload in zip(ids, payloads, strict=True)}
    changed = {entry.id for entry in trial.site.ledger.starts() if entry.said != sums.get(entry.id)}
    also = [f"{len(changed)} payloads of {size} bytes are not what was enqueued"] if changed else []
    return await trial.report(Bounds(duplicates=0), also=also)


async def password(trial: Trial) -> Report:
    """Client and workers log in with a password full of what URLs have other uses for; without it nobody comes in."""
    right, wrong = trial.ground.guest(trial.site.url, PASSWORD, WRITTEN, "wrong")
    also: list[str] = []
    try:
        async with Client.from_url(wrong):
            also.append("a wrong password opened the server")
    except ConfigurationError:
        pass
    async with site_on(right, trial.site.folder) as site:
        inside = trial.on(site)
        worker = inside.worker()
        await inside.enqueue(jobs.mark.bind() for _ in range(100))
        await inside.finished()
        also += ["the password stands in the log"] if "ss:w" in worker.log else []
        return await inside.report(Bounds(duplicates=0), also=also)


SHARED = Scenario("15", "eight workers on twenty tasks", shared)
LARGE = Scenario("15", "payloads of a megabyte", large)
PASSWORDS = Scenario("15", "a password that has to be encoded", password, frozenset({"password"}))

SCENARIOS = (SHARED, LARGE, PASSWORDS)

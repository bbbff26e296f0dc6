"""A network that loses replies, breaks, swallows, and is slow: a small TCP proxy between worker and server."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from signal import SIGTERM

from asyncdq import Client
from asyncdq.errors import ConnectionLost
from tests.integration import jobs
from tests.servers.proxy import Proxy

from .account import Promise
from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

SLOTS, LEASE = 10, 1.0

BACK_WITHIN = 5.0
"""Seconds after the network is mended within which the worker works again."""


async def lost_reply_to_enqueue(trial: Trial) -> Report:
    """The reply to an enqueue is lost, and the producer repeats it with the same id: it has one effect."""
    also: list[str] = []
    async with Proxy(trial.site.url) as proxy, Client.from_url(proxy.url) as client:
        await client.enqueue_many([jobs.mark.bind("first")])  # the first call is answered with questions
        for number in range(min(20, trial.scale.rounds * 2)):
            id = f"only-once-{number}"
            lost = proxy.lose_reply_to(id)
            call = jobs.mark.using(id=id).bind()
            with suppress(ConnectionLost):
                await client.enqueue_many([call])
                also.append(f"the reply to {id} was lost and nobody noticed")
            also += [] if lost.is_set() else [f"the reply to {id} was not lost"]
            await client.enqueue_many([call])
            trial.site.ledger.enqueued([id], Promise().said)
    trial.worker()
    await trial.finished()
    return await trial.report(Bounds(duplicates=0, twice=0), also=also)


async def lost_reply_to_outcome(trial: Trial) -> Report:
    """The reply to a completion is lost: at most one more execution for each."""
    rounds = min(10, trial.scale.rounds)
    also: list[str] = []
    async with Proxy(trial.site.url) as proxy:
        worker = trial.worker("--url", proxy.url, lease=LEASE)
        for _ in range(rounds):
            gate = f"{trial.site.gate}{trial.rng.random()}"
            (held,) = await trial.enqueue([jobs.hold.bind(gate)])
            await trial.until_started(held)
            lost = proxy.lose_reply_to(trial.ground.completes or held)
            trial.site.open(gate)
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await lost.wait()
            also += [] if lost.is_set() else ["the reply to a completion was not lost"]
        await trial.finished()
        also += [] if worker.alive else ["the worker died"]
        return await trial.report(Bounds(duplicates=rounds), also=also)


async def lost_reply_to_release(trial: Trial) -> Report:
    """A worker that shuts down gives a task back, the reply is lost, another worker takes it; then it tries again."""
    also: list[str] = []
    for _ in range(min(5, trial.scale.rounds)):
        gate = f"{trial.site.gate}{trial.rng.random()}"
        async with Proxy(trial.site.url) as proxy:
            giver = trial.worker("--url", proxy.url, "--grace-period", "0.2", lease=30.0)
            (held,) = await trial.enqueue([jobs.hold.bind(gate)])
            await trial.until_started(held)
            taker = trial.worker(lease=30.0)
            lost = proxy.lose_reply_to(trial.ground.releases or held)
            giver.signal(SIGTERM)
            gone = await trial.until_gone(giver)
            also += [] if gone else [f"the worker that gave back did not end: {giver.log[-300:]}"]
            also += [] if lost.is_set() else ["the reply to a release was not lost"]
        took = await trial.until_started(held, 2, 15.0)
        also += [] if took else ["what was given back was not taken before its lease had ended"]
        trial.site.open(gate)
        await trial.finished()
        await trial.dismiss(taker)
    rounds = min(5, trial.scale.rounds)
    return await trial.report(Bounds(duplicates=rounds, twice=0), also=also)


async def reset(trial: Trial) -> Report:
    """All connections break, again and again."""
    times = trial.scale.kills
    # Where a lease is a connection, each break counts as a loss, and the same task may be held in all of them.
    task = jobs.linger.using(max_attempts=times + 1) if "leases" in trial.ground.lacks else jobs.linger
    await trial.enqueue(task.bind(0.02) for _ in range(min(2_000, trial.scale.tasks * 3)))
    async with Proxy(trial.site.url) as proxy:
        worker = trial.worker("--url", proxy.url, concurrency=SLOTS, lease=LEASE)
        async with trial.load(lambda: (task.bind(0.02) for _ in range(5))):  # or all might be done before the last one
            await trial.until_it_works(worker)
            for _ in range(times):
                await trial.wait(trial.rng.uniform(0.05, 0.4))
                proxy.reset()
            back = time.time()
            again = await _works_again(trial, worker.pid, back)
        await trial.finished()
        also = [] if worker.alive else ["the worker died"]
        bounds = Bounds(duplicates=times * (SLOTS + trial.ground.sent), recovery=BACK_WITHIN)
        return await trial.report(bounds, again, also)


async def blackhole(trial: Trial) -> Report:
    """What is sent goes nowhere, connections stay open; after some seconds the network is mended."""
    async with Proxy(trial.site.url) as proxy:
        separator = "&" if "?" in proxy.url else "?"
        worker = trial.worker("--url", f"{proxy.url}{separator}timeout=1", concurrency=SLOTS, lease=LEASE)
        async with trial.load(lambda: (jobs.linger.bind(0.01) for _ in range(5))):
            await trial.until_it_works(worker)
            await trial.wait(trial.rng.uniform(0.2, 0.6))
            swallowed = time.time()
            proxy.blackhole()
            await trial.wait(trial.scale.away)
            proxy.heal()
            again = await _works_again(trial, worker.pid, time.time())
        await trial.finished()
        also = [] if worker.alive else ["the worker died"]
        recent = trial.site.ledger.ended_before(swallowed, trial.ground.unheard)
        return await trial.report(Bounds(duplicates=2 * SLOTS + recent, recovery=BACK_WITHIN), again, also)


async def slow(trial: Trial) -> Report:
    """Every chunk is late in both directions: it costs time and nothing else."""
    await trial.enqueue(jobs.mark.bind() for _ in range(trial.scale.tasks // 10))
    async with Proxy(trial.site.url) as proxy:
        proxy.delay = 0.05
        trial.worker("--url", proxy.url, concurrency=SLOTS, lease=LEASE)
        await trial.finished()
        return await trial.report(Bounds(duplicates=0))


async def _works_again(trial: Trial, pid: int, since: float) -> float | None:
    """Seconds until this worker started something; None if it did not, which the ledger shows as lost."""

    def began() -> list[float]:
        return [entry.at - since for entry in trial.site.ledger.starts() if entry.pid == pid and entry.at > since]

    await trial.until(began)
    return min(began(), default=None)


LOST_ENQUEUE = Scenario("4", "the reply to an enqueue is lost", lost_reply_to_enqueue, frozenset({"network", "keys"}))
LOST_OUTCOME = Scenario(
    "4", "the reply to a completion is lost", lost_reply_to_outcome, frozenset({"network", "named"})
)
LOST_RELEASE = Scenario("23", "the reply to a release is lost", lost_reply_to_release, frozenset({"network", "named"}))
RESET = Scenario("4", "connections break again and again", reset, frozenset({"network"}))
BLACKHOLE = Scenario("4", "a network that swallows everything", blackhole, frozenset({"network"}))
SLOW = Scenario("4", "a slow network", slow, frozenset({"network"}))

SCENARIOS = (LOST_ENQUEUE, LOST_OUTCOME, LOST_RELEASE, RESET, BLACKHOLE, SLOW)

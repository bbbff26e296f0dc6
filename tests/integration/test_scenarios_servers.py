"""Servers that are killed, frozen, absent, or behind a bad network: nothing is lost, and no worker is stuck."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import pytest

from asyncdq import Client
from asyncdq.errors import ConnectionLost
from tests.servers import KINDS, Server
from tests.servers.proxy import Proxy

from . import clocks, jobs
from .workers import EMPTY, Site, WorkerProcess, counts

LEASE = ("--task-defaults-visibility-timeout", "1")

AWAY = float(os.environ.get("ASYNCDQ_TEST_OUTAGE", "3"))
"""Seconds that a server is away: more than some leases, and than a worker's first pauses."""

BACK_WITHIN = 5.0
"""Seconds after the server's return within which every worker works again."""

IDLE = 8.0
"""Seconds for which a worker that has nothing to do is watched."""


def load(site: Site) -> AbstractAsyncContextManager[None]:
    """Tasks keep being enqueued, one batch after the other; the ledger knows of those that were stored."""
    return site.load(lambda: site.enqueue(jobs.linger.bind(0.002) for _ in range(10)))


def began(site: Site, worker: WorkerProcess, since: float) -> list[float]:
    """When this worker started tasks after this moment."""
    return [entry.at for entry in site.ledger.starts() if entry.pid == worker.pid and entry.at > since]


async def all_work_again(site: Site, workers: list[WorkerProcess], since: float) -> None:
    """Each of these workers starts a task, soon enough after this moment."""
    await site.until(lambda: all(began(site, worker, since) for worker in workers))
    late = {worker.pid: began(site, worker, since)[0] - since for worker in workers}
    assert max(late.values()) < BACK_WITHIN, late


async def nothing_is_lost(site: Site) -> None:
    await site.until(lambda: not site.ledger.lost(), 30)
    await site.wait_for_stats(ready=0, delayed=0, leased=0, dead=0)


def said_once(worker: WorkerProcess, *texts: str) -> bool:
    return all(len(worker.log_lines(text)) == 1 for text in texts)


@pytest.mark.slow
async def test_a_server_that_is_killed_under_load_has_lost_nothing_and_the_same_workers_go_on(
    own_site: tuple[Site, Server],
) -> None:
    site, server = own_site
    await site.enqueue(jobs.linger.bind(0.01) for _ in range(2_000))  # more than is done when the server dies
    workers = [site.start("-v", "warning", *LEASE) for _ in range(2)]
    async with load(site):
        await site.until(lambda: all(began(site, worker, 0) for worker in workers))
        await site.ended(500)
        server.kill9() if server.durable else server.stop()
        await asyncio.sleep(AWAY)  # the outage
        server.start()
        await all_work_again(site, workers, time.time())
    await nothing_is_lost(site)
    assert all(worker.log_lines("connected again") for worker in workers)
    print(f"\n{len(site.ledger.successes())} done, {len(site.ledger.repeated())} ran twice")
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert await worker.exited() == 0


@pytest.mark.slow
async def test_a_server_that_is_frozen_longer_than_a_lease_loses_nothing_and_nobody_stays_stuck(
    own_site: tuple[Site, Server],
) -> None:
    site, server = own_site
    workers = [site.start("-v", "warning", *LEASE) for _ in range(2)]
    async with load(site):
        await site.until(lambda: all(began(site, worker, 0) for worker in workers))
        await site.ended(500)
        server.pause()
        await asyncio.sleep(AWAY)  # the outage
        server.resume()
        await all_work_again(site, workers, time.time())
    await nothing_is_lost(site)


async def test_a_server_that_is_down_at_the_start_is_said_once_and_used_when_it_comes(
    own_site: tuple[Site, Server],
) -> None:
    site, server = own_site
    (id,) = await site.enqueue([jobs.mark.bind()])
    server.stop()
    worker = site.start()
    await worker.says("connection lost")
    await asyncio.sleep(1)  # it tries several times
    server.start()
    back = time.time()
    await site.until(lambda: site.ledger.successes() == {id: 1})
    assert site.ledger.starts(id)[0].at - back < BACK_WITHIN
    assert said_once(worker, "connection lost", "connected again", "is ready")


# With its connection, RabbitMQ has taken the task back: it runs once more.
@pytest.mark.parametrize("own_server", [name for name in KINDS if name != "rabbitmq"], indirect=True)
async def test_a_task_that_ends_while_the_server_is_away_is_written_when_it_is_back(
    own_site: tuple[Site, Server],
) -> None:
    site, server = own_site
    (id,) = await site.enqueue([jobs.hold.bind(site.gate)])
    worker = site.start()
    await site.started(1)
    server.stop()
    site.open_gate()
    await site.ended(1)
    await worker.says("connection lost")
    await asyncio.sleep(AWAY)  # the outage
    server.start()
    await worker.says("connected again")
    await site.wait_for_stats(ready=0, leased=0, dead=0)
    assert len(site.ledger.starts(id)) == 1
    assert said_once(worker, "connection lost", "connected again")


async def test_a_worker_whose_server_is_away_still_ends_when_told_to(own_site: tuple[Site, Server]) -> None:
    site, server = own_site
    worker = await site.start().ready()
    server.kill9()
    await worker.says("connection lost")
    worker.signal(signal.SIGTERM)
    assert await worker.exited() == 0


def on(*drivers: str) -> pytest.MarkDecorator:
    """Run this test of `site` on these drivers."""
    return pytest.mark.parametrize("queue_url", drivers, indirect=True)


through_a_proxy = on("redis", "postgres", "mysql", "rabbitmq")  # the URL of SQS names its endpoint elsewhere
on_servers = on("redis", "postgres", "mysql", "rabbitmq", "sqs")


@on("redis", "postgres", "mysql")  # the others know no ids
async def test_an_enqueue_whose_reply_is_lost_may_be_repeated_with_its_id(site: Site) -> None:
    async with Proxy(site.url) as proxy, Client.from_url(proxy.url) as client:
        mark = jobs.mark.using(client=client)
        await mark.enqueue()  # a first call is answered with a question: what is this script, of what types are these
        lost = proxy.lose_reply_to("only-once")
        with pytest.raises(ConnectionLost):
            await mark.using(id="only-once").enqueue()
        assert lost.is_set()
        assert (await site.stats()).ready == 2
        await mark.using(id="only-once").enqueue()
    await site.burst()
    assert site.ledger.successes()["only-once"] == 1


@on("redis", "postgres")  # the others do not write the id, which the proxy looks for
async def test_an_outcome_whose_reply_is_lost_costs_one_more_execution_at_most(site: Site) -> None:
    held, other = await site.enqueue([jobs.hold.bind(site.gate), jobs.mark.bind()])
    async with Proxy(site.url) as proxy:
        worker = site.start("--url", proxy.url)
        await site.until(lambda: site.ledger.ends(other))
        await site.wait_for_stats(leased=1)
        lost = proxy.lose_reply_to(held)
        site.open_gate()
        async with asyncio.timeout(10):
            await lost.wait()
        (last,) = await site.enqueue([jobs.mark.bind()])
        await site.until(lambda: site.ledger.ends(last))
        await site.wait_for_stats(ready=0, delayed=0, leased=0, dead=0)
        assert worker.alive
    assert site.ledger.successes()[held] <= 2


@through_a_proxy
async def test_connections_that_break_again_and_again_lose_nothing(site: Site) -> None:
    breaks = 5
    # Where leases end with the connection, each break may be a loss of the same task: see docs/guarantees.md.
    task = jobs.linger.using(max_attempts=breaks + 1)
    ids = await site.enqueue(task.bind(0.01) for _ in range(1_000))
    async with Proxy(site.url) as proxy:
        worker = site.start("-v", "warning", "--url", proxy.url, *LEASE)
        for number in range(1, breaks + 1):
            await site.ended(number * 100)
            proxy.reset()
        await nothing_is_lost(site)
        assert worker.alive
    assert site.ledger.successes().keys() == set(ids)


@through_a_proxy
async def test_a_slow_network_costs_time_and_nothing_else(site: Site) -> None:
    ids = await site.enqueue(jobs.mark.bind() for _ in range(200))
    async with Proxy(site.url) as proxy:
        proxy.delay = 0.03
        site.start("--url", proxy.url, *LEASE)
        await nothing_is_lost(site)
    assert site.ledger.successes() == dict.fromkeys(ids, 1)


@through_a_proxy
async def test_a_network_that_swallows_everything_is_noticed_and_left_when_it_is_mended(site: Site) -> None:
    async with Proxy(site.url) as proxy:
        separator = "&" if "?" in proxy.url else "?"
        worker = await site.start("--url", f"{proxy.url}{separator}timeout=1", *LEASE).ready()
        (held,) = await site.enqueue([jobs.hold.bind(site.gate)])
        await site.started(1)
        proxy.blackhole()
        await worker.says("connection lost")
        site.open_gate()
        proxy.heal()
        back = time.time()
        (next_one,) = await site.enqueue([jobs.mark.bind()])
        await site.until(lambda: site.ledger.ends(next_one))
        assert site.ledger.starts(next_one)[0].at - back < BACK_WITHIN
        await nothing_is_lost(site)
    assert site.ledger.successes()[held] <= 2


@pytest.mark.slow
async def test_thousands_of_tasks_due_at_one_moment_are_done_once_and_none_is_early(site: Site) -> None:
    """`pytest -s` shows how late they were."""
    workers = [site.start("-v", "warning") for _ in range(4)]
    due = time.time() + 4
    task = jobs.mark.using(run_at=datetime.fromtimestamp(due, UTC))
    ids = await site.enqueue(task.bind() for _ in range(4_000))
    await site.until(lambda: not site.ledger.lost())
    assert site.ledger.successes() == dict.fromkeys(ids, 1)
    late = sorted(entry.at - due for entry in site.ledger.starts())
    assert late[0] >= 0
    shares = [len(began(site, worker, 0)) for worker in workers]
    print(f"\nlate: p50 {statistics.median(late):.2f} s, p99 {late[len(late) * 99 // 100]:.2f} s; by worker: {shares}")
    await site.wait_for_stats(ready=0, delayed=0, leased=0, dead=0)


SKEW = 3600.0


@pytest.fixture(params=[SKEW, -SKEW], ids=["ahead", "behind"])
def skewed(request: pytest.FixtureRequest) -> Iterator[Callable[[Site], WorkerProcess]]:
    """Starts a worker whose clock is off by an hour."""
    if not clocks.AVAILABLE:
        pytest.skip("apt-get install faketime")
    started: list[int] = []

    def start(site: Site) -> WorkerProcess:
        with clocks.wrong(site, request.param):
            worker = site.start(*LEASE)
        started.append(worker.pid)
        return worker

    yield start
    clocks.sweep(started)


@on_servers
async def test_workers_whose_clocks_differ_take_nothing_from_each_other(
    site: Site, skewed: Callable[[Site], WorkerProcess]
) -> None:
    wrong = await skewed(site).ready()
    right = await site.start(*LEASE).ready()
    long = await site.enqueue(jobs.linger.bind(1.5) for _ in range(12))
    await site.until(lambda: {entry.pid for entry in site.ledger.starts()} == {wrong.pid, right.pid})
    await nothing_is_lost(site)
    assert {id: len(site.ledger.starts(id)) for id in long} == dict.fromkeys(long, 1)


@on_servers
async def test_a_delay_is_judged_by_the_clock_of_the_server(
    site: Site, skewed: Callable[[Site], WorkerProcess]
) -> None:
    worker = await skewed(site).ready()
    off = round((clock_of(worker) - time.time()) / SKEW) * SKEW
    before = time.time()
    (id,) = await site.enqueue([jobs.fail_until.using(delay=0.5, retry_delay=0.5).bind(2)])
    await site.until(lambda: site.ledger.successes() == {id: 1})
    first, second = (entry.at - off for entry in site.ledger.starts(id))
    assert abs(off) == SKEW
    assert 0.5 <= first - before < 0.5 + BACK_WITHIN
    assert 0.5 <= second - first < 0.5 + BACK_WITHIN


def clock_of(worker: WorkerProcess) -> float:
    """What its clock shows, by the first line of its log."""
    return datetime.strptime(worker.log[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


@on_servers
async def test_what_a_killed_worker_with_a_wrong_clock_held_is_taken_over_when_its_lease_ends(
    site: Site, skewed: Callable[[Site], WorkerProcess]
) -> None:
    (id,) = await site.enqueue([jobs.hold.bind(site.gate)])
    wrong = skewed(site)
    await site.started(1)
    wrong.kill()
    killed = time.time()
    site.open_gate()
    async with site.working(visibility_timeout=1.0):
        await site.until(lambda: site.ledger.successes() == {id: 1})
    assert 0 < site.ledger.ends(id)[0].at - killed < 1.0 + BACK_WITHIN
    assert counts(await site.stats(), **EMPTY)


@on("redis", "postgres", "rabbitmq")  # the others cannot wake who waits, or there is nobody to ask
async def test_an_idle_worker_asks_once_a_second_at_most_whatever_its_queues(site: Site) -> None:
    async with Proxy(site.url) as proxy:
        url = proxy.url.replace("heartbeat=2", "heartbeat=60")  # which are no questions
        worker = site.start("--url", url, "--queues", "high,default,low")
        (first,) = await site.enqueue([jobs.mark.bind()])
        await site.until(lambda: site.ledger.ends(first))
        await site.wait_for_stats(leased=0)
        await asyncio.sleep(2.0)  # it looks more often at first
        before = proxy.asked
        await asyncio.sleep(IDLE)  # what it asks meanwhile is what is counted
        assert worker.alive
        assert 0 < proxy.asked - before <= IDLE

"""Workers that are killed, frozen, or killed by what they run: nothing is lost, and nobody else pays for it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

import pytest

from asyncdq import Task
from asyncdq.drivers.rabbitmq import RabbitMQDriver
from asyncdq.drivers.sqs import SQSDriver
from asyncdq.message import Dead, Message

from . import jobs
from .ledger import RETURNED, Ledger
from .pools import gone
from .workers import EMPTY, Site, WorkerProcess, counts, leases_end

LEASE = ("--task-defaults-visibility-timeout", "1")

SENDS_FIRST = (RabbitMQDriver, SQSDriver)
"""What a worker gives back is sent anew before it is deleted: killed in between, it leaves it there twice."""


@pytest.mark.slow
async def test_ten_thousand_tasks_survive_a_worker_that_is_killed_halfway(site: Site) -> None:
    """The acceptance run; `pytest -s` shows how many tasks ran twice."""
    arguments = ("-q", "high,low", "--task-defaults-visibility-timeout", "3")
    doomed, survivor = site.start(*arguments), site.start(*arguments)
    await asyncio.gather(doomed.ready(), survivor.ready())
    ids = await site.enqueue(jobs.mark.using(queue=["high", "low"][n % 2]).bind(str(n)) for n in range(10_000))
    await site.ended(5_000)
    await site.until(lambda: any(entry.pid == doomed.pid for entry in site.ledger.starts()))
    doomed.kill()
    await site.until(lambda: not site.ledger.lost(), 60)
    for queue in ("high", "low"):
        await site.wait_for_stats(queue, ready=0, delayed=0, leased=0, dead=0)
    assert set(ids) == site.ledger.successes().keys()
    others, driver = [entry for entry in site.ledger.repeated() if entry.pid != doomed.pid], site.client.driver
    assert len(others) <= (driver.limits.batch if isinstance(driver, SENDS_FIRST) else 0)
    print(f"\n{_account(site.ledger, doomed)}")
    survivor.signal(signal.SIGTERM)
    assert await survivor.exited() == 0


def _account(ledger: Ledger, doomed: WorkerProcess) -> str:
    """Who ran what, and what ran twice because the killed worker had claimed it first."""
    ended = {(entry.id, entry.pid) for entry in ledger.ends()}
    again = [entry for entry in ledger.repeated() if entry.pid == doomed.pid]
    unwritten = sum((entry.id, entry.pid) in ended for entry in again)
    by_worker = Counter("killed" if entry.pid == doomed.pid else "surviving" for entry in ledger.starts())
    return (
        f"executions: {dict(by_worker)}; ran twice after the killed worker: {len(again)}; "
        f"{unwritten} had ended and their outcome was not written yet, {len(again) - unwritten} were interrupted"
    )


async def test_workers_killed_one_after_the_other_lose_nothing_and_repeat_only_what_they_held(site: Site) -> None:
    await site.enqueue(jobs.linger.bind(0.02) for _ in range(600))
    arguments = ("-c", "10", "-v", "warning", *LEASE)
    kills = 3
    for number in range(1, kills + 1):
        worker = site.start(*arguments)
        await site.ended(number * 100)
        worker.kill()
    site.start(*arguments)
    await site.until(lambda: not site.ledger.lost())
    await site.wait_for_stats(ready=0, delayed=0, leased=0, dead=0)
    assert len(site.ledger.repeated()) <= kills * 10


@pytest.mark.parametrize("queue_url", ["sqlite", "redis", "postgres", "mysql"], indirect=True)
async def test_a_worker_that_is_killed_uses_up_the_one_attempt_of_few_tasks(site: Site) -> None:
    once = jobs.mark.using(max_attempts=1)
    arguments = ("-c", "10", "-v", "warning", *LEASE)
    await site.enqueue(jobs.mark.bind(str(number)) for number in range(3_000))  # of which it claims many ahead
    await site.enqueue(once.bind(str(number)) for number in range(3_000, 18_000))  # more than it does before its end
    doomed = site.start(*arguments)
    await site.ended(4_000)
    doomed.kill()
    assert len(site.ledger.lost()) > 1_024
    site.start(*arguments)
    await site.wait_for_stats(ready=0, delayed=0, leased=0)
    assert len(await site.dead()) <= 20  # ten that had ended, and ten claimed for their slots
    assert site.ledger.repeated() == []


SENT = """
import asyncio, os, signal
from asyncdq.drivers import resolve
from asyncdq.message import Done

async def main():
    driver = resolve(os.environ["ASYNCDQ_URL"])
    await driver.connect()
    claimed = await driver.dequeue({"default": 110}, 110, 60.0)
    for each in claimed[100:]:  # else the connection has yet to learn how
        await driver.settle([(each, Done())])
    done = [(each, Done()) for each in claimed[:100]]
    await driver.settle_telling(done, lambda: os.kill(os.getpid(), signal.SIGKILL))

asyncio.run(main())
"""


@pytest.mark.parametrize("queue_url", ["redis", "postgres", "mysql", "rabbitmq"], indirect=True)
async def test_outcomes_that_were_sent_are_carried_out_although_their_worker_is_killed(site: Site) -> None:
    if not site.client.driver.limits.keeps_sent:
        pytest.skip("MySQL: successes are a transaction")
    await site.enqueue(jobs.mark.bind(str(number)) for number in range(110))
    code, _, errors = await site.script(SENT)
    assert code == -signal.SIGKILL, errors
    await site.wait_for_stats(ready=0, delayed=0, leased=0, dead=0)


SINGLE = """
import asyncio, os, signal
from asyncdq.drivers import resolve
from asyncdq.message import Done

async def main():
    driver = resolve(os.environ["ASYNCDQ_URL"])
    await driver.connect()
    claimed = []
    while len(claimed) < 64:
        claimed += await driver.dequeue({"default": 64}, 64 - len(claimed), 60.0)
        await driver.wait(["default"], 5.0)
    # The first one is older than all of these, so that each is acknowledged by itself, while more are pushed.
    first, second = ([(each, Done()) for each in part] for part in (claimed[1:33:2], claimed[33::2]))
    told = []
    await driver.settle_telling(first, lambda: told.append("sent"))
    assert told
    await driver.settle_telling(second, lambda: os.kill(os.getpid(), signal.SIGKILL))

asyncio.run(main())
"""


@pytest.mark.parametrize("queue_url", ["rabbitmq"], indirect=True)
async def test_acknowledgements_that_were_sent_one_by_one_are_carried_out_although_their_worker_is_killed(
    site: Site,
) -> None:
    await site.enqueue(jobs.mark.bind(str(number)) for number in range(1_000))
    code, _, errors = await site.script(SINGLE)
    assert code == -signal.SIGKILL, errors
    await site.wait_for_stats(ready=1_000 - 32)


@leases_end
async def test_the_visibility_timeout_of_a_task_says_how_soon_it_is_taken_over(site: Site) -> None:
    calls = [jobs.hold.using(visibility_timeout=0.5).bind(site.gate), jobs.hold.bind(site.gate)]
    short, long = await site.enqueue(calls)
    doomed = site.start("--task-defaults-visibility-timeout", "60")
    await site.started(2)
    doomed.kill()
    site.open_gate()
    async with site.working():
        await site.until(lambda: site.ledger.successes() == {short: 1})
    assert (len(site.ledger.starts(short)), len(site.ledger.starts(long))) == (2, 1)
    assert counts(await site.stats(), leased=1)


@pytest.mark.parametrize("task", [jobs.hold, jobs.hold_in_thread], ids=lambda task: task.function.__name__)
async def test_a_worker_frozen_past_its_lease_loses_the_task_and_goes_on(
    task: Task[[str], object, None], site: Site
) -> None:
    frozen = site.start("-q", "both,its_own", *LEASE)
    (id,) = await site.enqueue([task.using(queue="both").bind(site.gate)])
    await site.until(lambda: site.ledger.starts(id))
    site.freeze(frozen)
    other = await site.start("-q", "both", *LEASE).ready()
    await site.until(lambda: len(site.ledger.starts(id)) == 2)
    if task is jobs.hold_in_thread:
        site.open_gate(frozen.pid)  # it cannot be cancelled: it ends, and its outcome is refused
    frozen.thaw()
    await frozen.says("lease lost")
    await site.wait_for_stats("both", leased=1)
    (mine,) = await site.enqueue([jobs.mark.using(queue="its_own").bind()])
    await site.until(lambda: site.ledger.ends(mine))
    site.open_gate()
    await site.wait_for_stats("both", leased=0)
    await other.says("task_completed")
    ends = {entry.pid: entry.said for entry in site.ledger.ends(id)}
    assert ends == {frozen.pid: RETURNED if task is jobs.hold_in_thread else "CancelledError", other.pid: RETURNED}
    told = " ".join(frozen.log_lines(id))  # the last word may be the watchdog's, on a loop that stood still
    assert "lease lost" in told
    assert "task_completed" not in told
    assert "task_completed" in other.log_lines(id)[-1]
    assert counts(await site.stats("both"), **EMPTY)


async def test_the_process_of_a_task_that_a_frozen_worker_lost_is_killed_when_it_wakes(site: Site) -> None:
    frozen = site.start(*LEASE)
    (id,) = await site.enqueue([jobs.hold_in_process.bind(site.gate)])
    await site.started(1)
    site.freeze(frozen)
    async with site.working(visibility_timeout=1.0):
        await site.started(2)
        frozen.thaw()
        await frozen.says("lease lost")
        first, second = site.ledger.starts(id)
        await site.until(lambda: gone(first.pid))
        site.open_gate()
        await site.wait_for_stats(leased=0)
    assert [(entry.pid, entry.said) for entry in site.ledger.ends(id)] == [(second.pid, RETURNED)]


@leases_end
async def test_what_a_frozen_worker_had_claimed_ahead_is_not_started_when_it_wakes(site: Site) -> None:
    # Two seconds: a long poll that was under way when it froze is answered for one more, and would count as a loss.
    frozen = site.start("-c", "1", "--claim-ahead", "10", "--task-defaults-visibility-timeout", "2")
    held, *ahead = await site.enqueue([jobs.hold.bind(site.gate), *(jobs.mark.bind() for _ in range(5))])
    await site.until(lambda: site.ledger.starts(held))
    site.freeze(frozen)
    async with site.working(visibility_timeout=1.0):
        await site.until(lambda: site.ledger.successes() == dict.fromkeys(ahead, 1))
        await site.until(lambda: len(site.ledger.starts(held)) == 2)
        frozen.thaw()
        await site.until(lambda: len(frozen.log_lines("lease lost")) == 6)
        site.open_gate()
    assert {entry.id for entry in site.ledger.starts() if entry.pid == frozen.pid} == {held}
    assert site.ledger.successes() == dict.fromkeys([held, *ahead], 1)


async def test_a_healthy_worker_runs_a_task_of_three_leases_once(site: Site) -> None:
    first = site.start("-c", "1", *LEASE)
    (id,) = await site.enqueue([jobs.linger.bind(3.0)])
    await site.until(lambda: site.ledger.starts(id))
    async with site.working(visibility_timeout=1.0):
        await site.until(lambda: site.ledger.ends(id))
        await site.wait_for_stats(leased=0, ready=0)
    assert [entry.pid for entry in site.ledger.starts(id)] == [first.pid]


async def test_what_waits_for_a_slot_longer_than_its_lease_runs_once(site: Site) -> None:
    ids = await site.enqueue([jobs.linger.bind(0.8), *(jobs.mark.bind() for _ in range(5))])
    async with site.working(concurrency=1, claim_ahead=10, visibility_timeout=0.6):
        await site.until(lambda: site.ledger.starts(ids[0]))
        async with site.working(visibility_timeout=0.6):
            await site.until(lambda: not site.ledger.lost())
            await site.wait_for_stats(leased=0, ready=0)
    assert sorted((entry.id, entry.attempt) for entry in site.ledger.starts()) == sorted((id, 1) for id in ids)


@pytest.mark.parametrize("killer", [jobs.exit_at_once, jobs.crash], ids=lambda task: task.function.__name__)
async def test_a_task_that_kills_its_workers_is_buried_and_its_neighbours_are_done(
    killer: Task[[], object, None], site: Site
) -> None:
    calls = [killer.bind(), *(jobs.mark.using(max_attempts=3).bind() for _ in range(30))]
    fatal, *neighbours = await site.enqueue(calls)
    for _ in range(3):
        worker = site.start("-c", "31", *LEASE)
        assert await worker.exited() < 0 or killer is jobs.exit_at_once
    async with site.working(concurrency=31, visibility_timeout=10.0):
        await site.wait_for_stats(ready=0, delayed=0, leased=0, dead=1)
        await site.until(lambda: site.ledger.successes().keys() == set(neighbours))
    letters = await site.dead()
    assert {id: letter.reason for id, letter in letters.items()} == {fatal: "lost"}
    assert (letters[fatal].attempts, len(site.ledger.starts(fatal))) == (3, 3)
    assert site.ledger.successes().keys() == set(neighbours)


@pytest.mark.parametrize(
    "killer", [jobs.exit_at_once_in_process, jobs.crash_in_process], ids=lambda task: task.function.__name__
)
async def test_a_task_that_kills_its_process_is_buried_alone_and_the_worker_lives(
    killer: Task[[], object, None], site: Site
) -> None:
    calls = [killer.bind(), *(jobs.mark_in_process.bind() for _ in range(30))]
    fatal, *neighbours = await site.enqueue(calls)
    await site.burst(concurrency=31, process_pool_size=2)
    letters = await site.dead()
    assert {id: letter.reason for id, letter in letters.items()} == {fatal: "attempts"}
    assert "the process that ran" in letters[fatal].error
    assert len({entry.pid for entry in site.ledger.starts(fatal)}) == 3
    assert site.ledger.successes() == dict.fromkeys(neighbours, 1)
    assert {entry.attempt for entry in site.ledger.ends()} == {1}


async def test_short_tasks_behind_long_ones_are_run_by_another_worker_within_two_seconds(site: Site) -> None:
    short = [jobs.mark.bind() for _ in range(50)]
    began = time.time()
    await site.enqueue(short)
    async with site.working():
        await site.ended(50)
    alone = time.time() - began  # what they take anyhow: on a busy machine, SQS's stand-in needs a second by itself
    await site.enqueue([*(jobs.hold.bind(site.gate) for _ in range(2)), *short])
    site.start("-c", "2", "--claim-ahead", "100")
    await site.started(52)
    claimed_at = site.ledger.starts()[-1].at
    assert counts(await site.stats(), leased=52)
    async with site.working():
        await site.ended(100)
        assert site.ledger.ends()[-1].at - claimed_at < 2.0 + alone
        site.open_gate()
        await site.wait_for_stats(leased=0)
    assert len(site.ledger.starts()) == 102


@pytest.mark.slow
async def test_a_requeue_that_is_killed_halfway_loses_no_letter(site: Site) -> None:
    driver, ids = site.client.driver, {f"letter-{number}" for number in range(200)}
    await driver.enqueue([Message(id, "default", b"", 0.0) for id in ids])
    while len(await site.dead()) < len(ids):
        await driver.wait(["default"], 1)
        claimed = await driver.dequeue({"default": 100}, 100, 60.0)
        await driver.settle([(delivery, Dead("rejected")) for delivery in claimed])
    command = (sys.executable, "-m", "asyncdq", "dead", "requeue", "default", "--all")
    requeue = await asyncio.create_subprocess_exec(
        *command, env=site.environment, cwd=site.folder, stdout=subprocess.DEVNULL
    )
    while requeue.returncode is None and not (await site.stats()).ready:
        pass
    with suppress(ProcessLookupError):  # it may have ended just now
        requeue.kill()
    await requeue.wait()
    found: set[str] = set()
    async with asyncio.timeout(90):  # SQS hides for a minute what a reader of dead letters had when it died
        while found != ids:
            await driver.wait(["default"], 1)
            found |= {delivery.id for delivery in await driver.dequeue({"default": 100}, 100, 120.0)}
            found |= (await site.dead()).keys()

"""Tasks and messages that harm whoever touches them: each hurts only itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from asyncdq import Task
from asyncdq.errors import BodyTooLarge
from tests.integration import jobs
from tests.integration.bodies import envelope

from .account import Promise
from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

NEIGHBOURS = 109
DEATHS = 3  # the killer's max_attempts

DIES = Promise(dies=True)

CODE = ("os:system", "os.system", "builtins.exec", "/bin/sh", "../evil.py", "subprocess", "evil", "evil.run")


async def exits(trial: Trial) -> Report:
    """A task that ends its worker by os._exit, among 109 neighbours that are claimed with it."""
    return await _killer(trial, jobs.exit_at_once)


async def segfaults(trial: Trial) -> Report:
    """A task that reads from address 0."""
    return await _killer(trial, jobs.crash)


async def _killer(trial: Trial, killer: Task[[], Coroutine[Any, Any, None], None]) -> Report:
    place = trial.rng.randrange(NEIGHBOURS)
    innocents = [jobs.linger.using(max_attempts=DEATHS).bind(0.05) for _ in range(NEIGHBOURS)]
    await trial.enqueue(innocents[:place])
    await trial.enqueue([killer.bind()], DIES)
    await trial.enqueue(innocents[place:])
    async with trial.supervised(1, concurrency=NEIGHBOURS + 1) as died:
        await trial.finished()
        await trial.until(lambda: len(died) >= DEATHS)
        also = await trial.left()
    also += [f"{len(died)} workers died of a task that may have {DEATHS}"] if len(died) != DEATHS else []
    return await trial.report(Bounds(duplicates=DEATHS * NEIGHBOURS), also=also)


async def kills_its_process(trial: Trial) -> Report:
    """The same in the pool of processes: the worker lives, and the neighbours are untouched."""
    worker = trial.worker("--process-pool-size", "2", concurrency=NEIGHBOURS + 1)
    await trial.enqueue([jobs.exit_at_once_in_process.bind(), jobs.crash_in_process.bind()], DIES)
    await trial.enqueue(jobs.mark_in_process.bind() for _ in range(NEIGHBOURS))
    await trial.finished()
    also = await trial.left()
    also += [] if worker.alive else ["the worker died"]
    return await trial.report(Bounds(duplicates=0), also=also)


async def malformed(trial: Trial) -> Report:
    """Bodies of every wrong kind, and some good tasks among them."""
    noise, good = trial.rng, envelope(jobs.mark.name)
    most = min(2**20, trial.site.client.driver.limits.body)
    worker = trial.worker(concurrency=50)
    for _ in range(min(10, max(1, trial.scale.tasks // 1000))):  # no more letters than can be listed at once
        bodies = [_wrong(noise, good) for _ in range(890)]
        await trial.put(*bodies, b"", b"\0", b"\0" * 100, good + b"\0", b"\x93\0\0\0", good[:-2])
        await trial.put(noise.randbytes(most), b"\0" * most)
        await trial.put(envelope("no.such.task"), envelope(jobs.mark.name, version=2))
        await trial.enqueue(jobs.mark.bind() for _ in range(100))
    await trial.finished()
    also = await trial.left()
    also += [] if worker.alive else ["the worker died"]
    return await trial.report(Bounds(duplicates=0), also=also)


def _wrong(noise: random.Random, good: bytes) -> bytes:
    """Random bytes that begin with a byte which msgpack never uses, or a good body with one bit turned in its frame."""
    if noise.random() < 0.5:
        return b"\xc1" + noise.randbytes(noise.randrange(200))
    return bytes([good[0] ^ (1 << noise.randrange(4, 7)), *good[1:]])


async def code(trial: Trial) -> Report:
    """Messages that name code, a file, a module: refused and buried, and nothing is run."""
    folder = trial.site.folder
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(folder / 'pwned')!r}).touch()\n")
    worker = trial.worker()
    await trial.put(*(envelope(name, [[f"touch {folder}/pwned"], {}]) for name in CODE))
    await trial.enqueue([jobs.mark.bind()])
    await trial.finished()
    also = await trial.left()
    also += ["the code that a message named was run"] if trial.exists(folder / "pwned") else []
    also += [] if worker.alive else ["the worker died"]
    return await trial.report(Bounds(duplicates=0), also=also)


async def failures(trial: Trial) -> Report:
    """Two hundred failures in a row, a hundred tracebacks that no database takes, and then a task that returns."""
    trial.worker()
    await trial.enqueue((jobs.fail.bind() for _ in range(200)), DIES)
    await trial.enqueue((jobs.fail_unspeakably.bind() for _ in range(100)), DIES)
    await trial.enqueue([jobs.mark.bind()])
    await trial.finished()
    return await trial.report(Bounds(duplicates=0), also=await trial.left())


async def oversized(trial: Trial) -> Report:
    """One message that is too large among a hundred enqueues that are merged: only its caller gets the error."""
    trial.worker()
    too_long = "x" * (trial.site.client.driver.limits.body + 1)
    said: list[Any] = ["good"] * 50 + [too_long] + ["good"] * 49
    task = jobs.mark.using(client=trial.site.client)
    results = await asyncio.gather(*map(task.enqueue, said), return_exceptions=True)
    stored = [result for result in results if not isinstance(result, BaseException)]
    trial.site.ledger.enqueued([enqueued.id for enqueued in stored])
    refused = isinstance(results[50], BodyTooLarge) and len(stored) == 99
    await trial.finished()
    return await trial.report(Bounds(duplicates=0), also=[] if refused else [f"{100 - len(stored)} were refused"])


EXITS = Scenario("7", "a task that ends its worker", exits)
SEGFAULTS = Scenario("7", "a task that crashes its worker", segfaults)
PROCESS = Scenario("7", "tasks that kill their process", kills_its_process)
MALFORMED = Scenario("8", "malformed bodies", malformed)
CODE_NAMED = Scenario("9", "messages that name code", code)
FAILURES = Scenario("17", "failures in a row, unspeakable tracebacks", failures)
OVERSIZED = Scenario("24", "a message that is too large among others", oversized)

SCENARIOS = (EXITS, SEGFAULTS, PROCESS, MALFORMED, CODE_NAMED, FAILURES, OVERSIZED)

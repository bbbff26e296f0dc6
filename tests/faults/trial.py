"""One scenario on one driver: its store, its server, its workers, its dice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

from asyncdq import Call
from asyncdq.message import QueueStats
from tests.integration import jobs
from tests.integration.bodies import put
from tests.integration.ledger import END, ENQUEUED, RETURNED, Entry
from tests.integration.workers import JOBS, Site, WorkerProcess
from tests.servers import Server

from . import letters
from .account import Books, Promise
from .grounds import Ground
from .report import Bounds, Report
from .scale import LOOK, Scale, crowd

ENOUGH = 2_000
"""Tasks that wait while workers are started and ended: more would only have to be done in the end."""


class Trial:
    """What a scenario works with. Everything that it draws comes from `rng`, so a seed repeats its choices."""

    def __init__(
        self,
        ground: Ground,
        site: Site,
        server: Server | None,
        rng: random.Random,
        scale: Scale,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.ground = ground
        self.site = site
        self.rng = rng
        self.crowd = min(crowd(), 3.0)
        self.scale = replace(scale, patience=scale.patience * self.crowd, tasks=int(scale.tasks * ground.share))
        self.off: dict[int, float] = {}  # by how much the clock of a process is wrong
        self.mortal = False  # a worker that dies by itself is what this scenario is about
        self._staff: list[WorkerProcess] = []
        self._server = server
        self.extra = extra  # modules that workers are started with, beside those of the tasks
        self._queues = {"default"}
        self._open: set[str] = set()
        self._done: set[str] = set()
        self._dying: set[str] = set()  # what is to be buried
        self._seen = dict.fromkeys((ENQUEUED, END), 0)

    def on(self, site: Site) -> Trial:
        """The same on another site."""
        return Trial(self.ground, site, self._server, self.rng, self.scale, self.extra)

    @property
    def server(self) -> Server:
        """The server, which the scenario may break."""
        assert self._server is not None, f"{self.ground.driver} has no server"
        return self._server

    def worker(self, *arguments: str, concurrency: int = 10, lease: float = 2.0, warn: bool = True) -> WorkerProcess:
        """A worker process, just started. Later `arguments` win; on a crowded machine, leases are longer."""
        quiet = ("-v", "warning") if warn else ()
        options = ("-c", f"{concurrency}", "--task-defaults-visibility-timeout", f"{self.lease(lease):g}")
        retry = ("--task-defaults-retry-strategy", "fixed", "--task-defaults-retry-delay", "0.2")
        worker = self.site.start(*options, *retry, *quiet, *arguments, modules=(JOBS, *self.extra))
        self._staff.append(worker)
        return worker

    def lease(self, seconds: float) -> float:
        """So long a lease, or a longer one on a crowded machine: whoever gets no turn cannot renew."""
        return round(seconds * min(self.crowd, 2.0), 1)

    async def enqueue(self, calls: Iterable[Call[Any]], promise: Promise = Promise()) -> list[str]:  # noqa: B008 - a tuple
        """The ids of what is enqueued now, and promised so in the ledger."""
        calls = list(calls)
        self._queues |= {call.options.queue for call in calls if call.options.queue}
        stored = await self.site.client.enqueue_many(calls)
        ids = [enqueued.id for enqueued in stored]
        self.site.ledger.enqueued(ids, promise.said)
        return ids

    def load(self, calls: Callable[[], Iterable[Call[Any]]]) -> AbstractAsyncContextManager[None]:
        """These are enqueued again and again, unless enough is waiting; the ledger knows whose enqueue returned."""

        async def more() -> None:
            if len(self.unfinished()) < ENOUGH:
                await self.enqueue(calls())

        return self.site.load(more)

    @asynccontextmanager
    async def supervised(self, count: int, *arguments: str, concurrency: int) -> AsyncIterator[list[int]]:
        """So many workers, replaced as they die; yields the pids of those that died by themselves."""
        died: list[int] = []
        self.mortal = True

        async def replace() -> None:
            staff = [self.worker(*arguments, concurrency=concurrency) for _ in range(count)]
            while True:
                for place, worker in enumerate(staff):
                    if not worker.alive:
                        died.append(worker.pid)
                        staff[place] = self.worker(*arguments, concurrency=concurrency)
                await asyncio.sleep(LOOK)  # between two looks

        replacing = asyncio.create_task(replace())
        try:
            yield died
        finally:
            replacing.cancel()

    async def put(self, *bodies: bytes, promise: Promise = Promise(dies=True)) -> None:  # noqa: B008 - a tuple
        """Messages with these bodies, past the client; promised so in the ledger."""
        for start in range(0, len(bodies), self.site.client.driver.limits.batch):
            ids = await put(self.site, *bodies[start : start + self.site.client.driver.limits.batch])
            self.site.ledger.enqueued(ids, promise.said)

    async def wait(self, seconds: float) -> None:
        """What the scenario does not do for some time."""
        await asyncio.sleep(seconds)  # the time itself is the fault, or the chance for one

    async def until(self, condition: Callable[[], object], seconds: float | None = None) -> bool:
        """Whether the condition became true in time."""
        deadline = time.monotonic() + (self.scale.patience if seconds is None else seconds)
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK)  # between two looks: what other processes do has no event here
        return True

    async def until_it_works(self, worker: WorkerProcess, seconds: float | None = None) -> bool:
        """Whether this worker has started something in time."""
        return await self.until(lambda: self.began(worker), seconds)

    async def until_started(self, id: str, times: int = 1, seconds: float | None = None) -> bool:
        """Whether this was started so often in time."""
        return await self.until(lambda: len(self.site.ledger.starts(id)) >= times, seconds)

    async def until_gone(self, worker: WorkerProcess, seconds: float | None = None) -> bool:
        """Whether this worker ended in time."""
        return await self.until(lambda: not worker.alive, seconds)

    async def dismiss(self, worker: WorkerProcess) -> None:
        """End it in order: what has ended is written."""
        worker.signal(SIGTERM)
        await self.until_gone(worker)

    def exists(self, path: Path) -> bool:
        """Whether something is there."""
        return path.exists()

    async def ready(self, *workers: WorkerProcess) -> None:
        """Return when each of these has started something: small tasks are enqueued until then, and done."""
        ids: list[str] = []

        async def more() -> None:
            ids.extend(await self.enqueue(jobs.linger.bind(0.05) for _ in workers))

        async with self.site.load(more):
            for worker in workers:
                await self.until_it_works(worker)
        await self.until(lambda: self.unfinished().isdisjoint(ids))

    def started(self) -> set[str]:
        """What has been started so far."""
        return {entry.id for entry in self.site.ledger.starts()}

    def ended(self, count: int) -> Callable[[], bool]:
        """Whether so many executions have ended."""
        return lambda: len(self.site.ledger.ends()) >= count

    def began(self, worker: WorkerProcess, since: float = 0.0) -> list[Entry]:
        """What this worker has started after this moment."""
        return [entry for entry in self.site.ledger.starts() if entry.pid == worker.pid and entry.at > since]

    def unfinished(self) -> set[str]:
        """What was promised, and not executed to the end so far."""
        ledger = self.site.ledger
        ended = ledger.entries(END)
        for entry in islice(ended, self._seen[END], None):
            if entry.said == RETURNED:
                self._done.add(entry.id)
        self._seen[END] = len(ended)
        enqueued = ledger.entries(ENQUEUED)
        for entry in islice(enqueued, self._seen[ENQUEUED], None):
            (self._dying if Promise.of(entry).dies else self._open).add(entry.id)
        self._seen[ENQUEUED] = len(enqueued)
        self._open -= self._done
        return self._open

    async def finished(self, seconds: float | None = None) -> float:
        """The unix time at which all was executed to the end, was lost, or was given up."""
        deadline = time.monotonic() + (self.scale.patience if seconds is None else seconds)
        while not await self.until(lambda: not self.unfinished(), 1.0):
            if time.monotonic() > deadline or await self._nothing_left():
                return time.time()
        return max((entry.at for entry in self.site.ledger.ends()), default=time.time())

    async def _nothing_left(self) -> bool:
        """Whether the store holds no work, or has buried all that is unfinished: then that will never be done."""
        enough = await letters.count(self.site, self._queues) >= len(self._open | self._dying)
        if enough and self._open <= (await letters.read(self.site, self._queues)).keys():
            return True
        counted = [await self.site.stats(queue) for queue in sorted(self._queues)]
        return all((stats.ready, stats.delayed, stats.leased) == (0, 0, 0) for stats in counted)

    async def left(self, seconds: float | None = None) -> list[str]:
        """What the store still holds of work when all should be done, in sentences."""
        seconds = self.scale.patience / 2 if seconds is None else seconds
        deadline = time.monotonic() + seconds
        for queue in sorted(self._queues):
            while any(_work(stats := await self.site.stats(queue)).values()):
                if time.monotonic() > deadline:
                    return [f"left in {queue!r} after {seconds:g} s: {_work(stats)}"]
                await asyncio.sleep(LOOK)  # between two looks
        return []

    async def report(self, bounds: Bounds, recovery: float | None = None, also: Iterable[str] = ()) -> Report:
        """The end of a scenario, when all is done that will be done."""
        wrong = [*also, *await self.left(), *self._deaths()]
        self.unfinished()  # and what is to be buried
        # Not every broker counts what is under way to the dead letters.
        dead = await letters.with_these(self.site, self._queues, self._dying, self.scale.patience / 2)
        ledger = self.site.ledger
        books = Books(ledger.entries(ENQUEUED), ledger.starts(), ledger.ends(), dead, self.off)
        account = books.account()
        wrong += [f"{id} was buried: {dead[id].reason}, {dead[id].error}" for id in sorted(account.buried)[:3]]
        return Report(account, bounds, recovery, tuple(wrong), crowd())

    def _deaths(self) -> list[str]:
        """Workers that ended though nobody killed them or told them to."""
        codes = {worker: worker.code for worker in self._staff if worker.code not in (None, 0, -SIGKILL)}
        return [] if self.mortal else [f"a worker ended with {code}: {_last(worker)}" for worker, code in codes.items()]


def _last(worker: WorkerProcess) -> str:
    return "".join(worker.log.splitlines()[-1:])[:200]


def _work(stats: QueueStats) -> dict[str, int]:
    """What is not dead, as far as the broker can count."""
    counted = {"ready": stats.ready, "delayed": stats.delayed, "leased": stats.leased}
    return {state: number for state, number in counted.items() if number}

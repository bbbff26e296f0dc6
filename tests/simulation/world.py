"""A seeded world: some workers, some tens of tasks, one server, and whatever may go wrong."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

from asyncdq import Client
from asyncdq.message import Limits
from asyncdq.retry import RetryPolicy

from .heart import SimulatedWorker
from .jobs import Job, dangerous_job, job
from .ledger import LEDGER, Ledger
from .scripted import CALL_TIMEOUT, Network, ScriptedDriver
from .variant import Variant
from .virtual import OUTSIDE, Process, VirtualLoop
from .weather import MoodyNetwork, StormyNetwork

CHAOS_ENDS = 60.0  # seconds; then everything stops, and what is left is run in peace
HORIZON = 5_000.0
SLOWEST = (0.005, 0.5)  # seconds of a call, one way; each seed takes one of these in turn
LONGEST_GRACE, LONGEST_FREEZE = 10.0, 40.0
LAST_OUTCOMES, STUCK_AFTER = 10.0, 5.0  # what the worker promises for its end, beside the grace period


class World:
    """One seed's world. After `live`, `ledger.violations` says what went wrong."""

    def __init__(self, seed: int, loop: VirtualLoop, variant: Variant | None = None) -> None:
        rng = self.rng = random.Random(seed)
        random.seed(seed)  # the worker's own dice: pauses and jitter
        self.seed = seed
        self.variant = variant or Variant()
        self.ledger = Ledger(loop.time)
        self.mode = rng.choices(["calm", "chaos", "a killer", "killers"], [4, 5, 2, 1])[0]
        self.most = rng.randint(2, 4)  # attempts of each task, in a world with killers
        self.harm = 2 if self.mode == "chaos" else 0  # with the storm's one: fewer than the attempts of any task
        storm = rng.choice([StormyNetwork, MoodyNetwork])
        self.network = storm(seed, harm=1) if self.mode == "chaos" else Network(seed)
        self.network.slowest = SLOWEST[seed % len(SLOWEST)]
        self.server = self.variant.server(honours_lapsed=rng.random() < 0.5)
        self.freezing: set[str] = set()
        self.shifts: list[tuple[Process, Any, asyncio.Task[None]]] = []

    async def live(self) -> None:
        """Run it all, to the last check."""
        LEDGER.set(self.ledger)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.ledger.note(f"a world of {self.mode}")
        jobs = sorted(map(self._job, range(self.rng.randint(8, 40))), key=lambda job: job.at)
        producing = asyncio.create_task(self._produce(jobs))
        lives = [asyncio.create_task(self._staff(f"w{number}")) for number in range(self.rng.randint(1, 3))]
        if self._spend(0.2):
            lives.append(asyncio.create_task(self._outage()))
        await asyncio.gather(producing, *lives)
        await self._run_the_rest()
        self.ledger.check_ends()
        await self._bury()

    def _job(self, number: int) -> Job:
        if self.mode not in ("a killer", "killers"):
            return job(self.rng, number)
        killer = number == 0 or (self.mode == "killers" and self.rng.random() < 0.1)
        return dangerous_job(self.rng, number, self.most, killer)

    async def _produce(self, jobs: list[Job]) -> None:
        driver = ScriptedDriver(self.server, Network(self.seed + 1), self.ledger, name="producer")
        loop = asyncio.get_running_loop()
        async with Client(driver) as client:
            for job in jobs:
                await asyncio.sleep(job.at - loop.time())  # virtual: until its time
                self.ledger.promised(job.id, job.promise, job.call.options.delay or 0.0)
                await client.enqueue(job.call, *job.args)

    async def _staff(self, name: str) -> None:
        """One worker after another, each until it stops or dies, as long as chaos lasts."""
        loop, number = asyncio.get_running_loop(), 0
        while loop.time() < CHAOS_ENDS:
            number += 1
            await self._employ(f"{name}.{number}", until=CHAOS_ENDS)
            await asyncio.sleep(self.rng.uniform(0.0, 3.0))  # virtual: until the operator replaces it

    async def _employ(self, name: str, until: float) -> None:
        """One worker from its start to its end."""
        rng, loop = self.rng, asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        doomed = self._spend(0.3)
        gone = asyncio.Event()
        process = self._process(name, gone, crash_at=int(rng.uniform(1, 30) ** 2) if doomed else None)
        worker = self._worker(name)
        working = process.start(worker.start(handle_signals=False))
        working.add_done_callback(partial(_ended, gone), context=OUTSIDE)
        self.shifts.append((process, worker, working))
        end = min(until, loop.time() + rng.uniform(0.0, 40.0)) if rng.random() < 0.5 else until
        if self._spend(0.2):
            self.freezing.add(name)
            loop.call_later(rng.uniform(0.0, 20.0), partial(self._freeze, process), context=OUTSIDE)
        await _until(gone, end)
        if not gone.is_set():
            await self._end(process, worker, working, gone)
        if not process.dead:
            self._check_exit(process, worker, working)

    def _process(self, name: str, gone: asyncio.Event, crash_at: int | None = None) -> Process:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        process = Process(loop, name, crash_at)

        def on_end(process: Process) -> None:
            self.ledger.note(f"{process.name} crashes")
            gone.set()

        process.on_end = on_end
        self.ledger.processes[name] = process
        self.ledger.note(f"{name} begins")
        return process

    def _worker(self, name: str) -> Any:
        rng = self.rng
        limits = Limits(
            rng.choice([3, 100]), 1_000_000, 0.01, claim_ahead=rng.random() < 0.7, keeps_sent=rng.choice([0, 0, 3])
        )
        driver = self.variant.driver(self.server, self.network, self.ledger, name=name, limits=limits)
        return SimulatedWorker(
            driver,
            parts=self.variant.parts,
            queues=rng.choice([("high", "low"), ("low", "high")]),
            concurrency=rng.choice([1, 2, 4, 8]),
            worker_id=name,
            grace_period=rng.choice([0.0, 1.0, LONGEST_GRACE]),
            visibility_timeout=rng.choice([6.0, 10.0, 30.0]),
            claim_ahead=rng.choice([None, None, 0, 3, 8]),
            retry=RetryPolicy(4, 1.0),
        )

    async def _end(self, process: Process, worker: Any, working: asyncio.Task[None], gone: asyncio.Event) -> None:
        """Tell it to stop, in one of the ways there are, and see that it does in time."""
        loop, way = asyncio.get_running_loop(), self.rng.choice(["stop", "stop", "stop twice", "now", "cancel"])
        self.ledger.note(f"{process.name} is told to end: {way}")
        asked, process.ending = loop.time(), True
        match way:
            case "cancel":
                process.do(working.cancel)
            case "now":
                process.do(partial(worker.stop, now=True))
            case _:
                process.do(worker.stop)
        if way == "stop twice":
            await _until(gone, asked + self.rng.uniform(0.0, 2.0))
            process.do(partial(worker.stop, now=True))
        bound = LONGEST_GRACE + STUCK_AFTER + LAST_OUTCOMES + 3 * CALL_TIMEOUT
        bound += LONGEST_FREEZE if process.name in self.freezing else 0.0
        await _until(gone, asked + bound)
        if not gone.is_set():
            self.ledger.broken(f"{process.name} has not ended {bound:g} s after it was told to")
            process.crash()

    def _check_exit(self, process: Process, worker: Any, working: asyncio.Task[None]) -> None:
        if working.done() and not working.cancelled() and (error := working.exception()) is not None:
            self.ledger.broken(f"{process.name} raised {error!r}")
        self.ledger.left(process)
        if worker.left_behind:
            process.crash()  # as the command does: what could not be ended dies with its process

    async def _outage(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.0, 40.0))  # virtual: until the server goes down
        self.ledger.note("the server goes down")
        self.network.down = True
        self.server.wake()
        await asyncio.sleep(self.rng.uniform(0.1, 8.0))  # virtual: until it is back
        self.network.down = False
        self.ledger.note("the server is back")

    def _spend(self, chance: float) -> bool:
        """Whether to do harm now, while there is harm left to do."""
        if self.harm < 1 or self.rng.random() > chance:
            return False
        self.harm -= 1
        return True

    def _freeze(self, process: Process) -> None:
        loop, seconds = asyncio.get_running_loop(), self.rng.uniform(1.0, LONGEST_FREEZE)
        self.ledger.note(f"{process.name} freezes for {seconds:.1f} s")
        process.freeze()
        self.ledger.troubled(process.name)

        def thaw() -> None:
            self.ledger.note(f"{process.name} thaws")
            self.ledger.troubled(process.name)
            process.thaw()

        loop.call_later(seconds, thaw, context=OUTSIDE)

    async def _run_the_rest(self) -> None:
        """In peace: fresh workers, until the server is empty. Killers still kill, so there may be several."""
        self.harm, self.network, number = 0, Network(self.seed), 0
        while self.server.rows:
            number += 1
            gone = asyncio.Event()
            process, worker = self._process(f"last.{number}", gone), self._worker(f"last.{number}")
            working = process.start(worker.start(handle_signals=False))
            working.add_done_callback(partial(_ended, gone), context=OUTSIDE)
            self.shifts.append((process, worker, working))
            while self.server.rows and not gone.is_set():
                await _until(gone, asyncio.get_running_loop().time() + 1.0)
            if not gone.is_set():
                await self._end(process, worker, working, gone)
                self._check_exit(process, worker, working)

    async def _bury(self) -> None:
        """Let what is left of the dead end, so that nothing of them outlives the world."""
        for process, _, working in self.shifts:
            process.exhume()
            process.do(working.cancel)
        await asyncio.wait([working for _, _, working in self.shifts])


def _ended(gone: asyncio.Event, working: asyncio.Task[None]) -> None:
    gone.set()


async def _until(event: asyncio.Event, when: float) -> None:
    """Return when the event is set, or at this time."""
    try:
        async with asyncio.timeout_at(when):
            await event.wait()
    except TimeoutError:
        pass

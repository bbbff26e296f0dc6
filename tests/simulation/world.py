"""A seeded world: some workers, some tens of tasks, one server, and whatever may go wrong."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from asyncdq import Client, Task, Worker
from asyncdq.errors import DriverError
from asyncdq.message import Limits
from asyncdq.retry import RetryPolicy

from . import tasks
from .ledger import LEDGER, Ledger, Promise
from .scripted import CALL_TIMEOUT, Fate, Network, ScriptedDriver
from .server import Server
from .virtual import Process, VirtualLoop, run

QUEUES = ("high", "low")
CHAOS_ENDS = 60.0  # seconds; then everything stops, and what is left is run in peace
HORIZON = 5_000.0
LAST_OUTCOMES, STUCK_AFTER = 10.0, 5.0  # what the worker promises for its end, beside the grace period

DONE = frozenset({"done"})


@dataclass(frozen=True, slots=True)
class Job:
    """A call to be enqueued at a time, and what must become of it."""

    id: str
    at: float
    call: Task[..., Any, Any]
    args: tuple[Any, ...]
    promise: Promise


def _kinds(rng: random.Random, id: str) -> tuple[Task[..., Any, Any], tuple[Any, ...], Promise]:
    choices: list[tuple[Task[..., Any, Any], tuple[Any, ...], Promise]] = [
        (tasks.plain, (), Promise(DONE, 4)),
        (tasks.plain, (rng.uniform(0.001, 3.0),), Promise(DONE, 4)),
        (tasks.plain, (rng.uniform(10.0, 200.0),), Promise(DONE, 4)),
        (tasks.failing, (rng.randint(1, 3), rng.choice([0.0, 0.5])), Promise(DONE, 4)),
        (tasks.failing, (9,), Promise(frozenset({"attempts"}), 4)),
        (tasks.snoozing, (rng.randint(1, 6), rng.uniform(0.0, 5.0)), Promise(DONE, 4)),
        (tasks.retrying, (rng.uniform(0.0, 2.0),), Promise(frozenset({"attempts"}), 4)),
        (tasks.rejecting, (), Promise(frozenset({"rejected"}), 4)),
        (tasks.picky, (), Promise(frozenset({"not_retried"}), 4)),
        (tasks.despairing, (), Promise(frozenset({"rejected"}), 4)),
        (tasks.endless, (), Promise(frozenset({"attempts"}), 4)),
        (tasks.stubborn, (rng.uniform(3.0, 30.0),), Promise(DONE, 4, stubborn=True)),
        (tasks.exiting, (), Promise(frozenset({"attempts"}), 4)),
        (tasks.parent, (f"{id}c",), Promise(DONE, 4)),
    ]
    weights = [8, 6, 3, 3, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2]
    return rng.choices(choices, weights)[0]


class StormyNetwork(Network):
    """Loses, delays and refuses by seed, while `harm` lasts: each loss may cost a message one lease."""

    def __init__(self, seed: int, harm: int) -> None:
        super().__init__(seed)
        self.harm = harm

    def fate(self, verb: str) -> Fate:
        """As usual, but now and then it is lost or slow."""
        usual = super().fate(verb)
        roll = self.random.random()
        if self.harm < 1 or usual.loses != "nothing" or roll > 0.03:
            return usual
        self.harm -= 1
        if roll < 0.01:
            return replace(usual, loses="reply")
        if roll < 0.02:
            return replace(usual, loses="request")
        return Fate(self.random.uniform(0.0, CALL_TIMEOUT * 0.9), self.random.uniform(0.0, 1.0))


class MoodyNetwork(StormyNetwork):
    """Refuses some outcomes and renewals, too."""

    def refuse(self, verb: str, ids: Sequence[str]) -> None:
        """Refuse the whole call for one of its ids."""
        if verb != "enqueue" and self.harm > 0 and self.random.random() < 0.02:
            self.harm -= 1
            raise DriverError(f"{verb} refused for {self.random.choice(list(ids)) if ids else 'nothing'}")


@dataclass(slots=True)
class Variant:
    """Which parts the world is built of: the real ones, or one with a planted bug."""

    worker: Callable[..., Any] = Worker
    driver: Callable[..., ScriptedDriver] = ScriptedDriver
    server: Callable[..., Server] = Server


@dataclass(slots=True)
class World:
    """One seed's world. After `live`, `ledger.violations` says what went wrong."""

    seed: int
    variant: Variant = field(default_factory=Variant)
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self._init()

    rng: random.Random = field(init=False)
    mode: str = field(init=False)
    most: int = field(init=False)
    network: Network = field(init=False)
    server: Server = field(init=False)
    shifts: list[tuple[Process, Any, asyncio.Task[None]]] = field(init=False, default_factory=list)
    harm: int = field(init=False, default=0)
    over: bool = field(init=False, default=False)

    def _init(self) -> None:
        rng = self.rng = random.Random(self.seed)
        random.seed(self.seed)
        self.mode = rng.choices(["calm", "chaos", "a killer", "killers"], [4, 5, 2, 1])[0]
        self.most = rng.randint(2, 4)
        self.harm = 2 if self.mode == "chaos" else 0
        storm = rng.choice([StormyNetwork, MoodyNetwork])
        self.network = storm(self.seed, harm=1) if self.mode == "chaos" else Network(self.seed)
        self.server = self.variant.server(honours_lapsed=rng.random() < 0.5)

    async def live(self) -> None:
        """Run it all, to the last check."""
        LEDGER.set(self.ledger)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.ledger.note(f"a world of {self.mode}")
        jobs = [self._job(number) for number in range(self.rng.randint(8, 40))]
        producing = asyncio.create_task(self._produce(sorted(jobs, key=lambda job: job.at)))
        lives = [asyncio.create_task(self._staff(f"w{number}")) for number in range(self.rng.randint(1, 3))]
        if self._spend(0.2):
            lives.append(asyncio.create_task(self._outage()))
        await asyncio.gather(producing, *lives)
        await self._run_the_rest()
        self.ledger.check_ends()
        await self._bury()

    def _job(self, number: int) -> Job:
        rng, id = self.rng, f"t{number}"
        call, args, promise = _kinds(rng, id)
        if self.mode in ("a killer", "killers"):
            if number == 0 or (self.mode == "killers" and rng.random() < 0.1):
                call, args = tasks.killer, (rng.choice([0.0, 0.3, 5.0]),)
                promise = Promise(frozenset({"lost"}))
            call, promise = call.using(max_attempts=self.most), replace(promise, max_attempts=self.most)
            if call.name == tasks.failing.name and promise.ends == DONE:
                args = (self.most - 1,)
        delay = rng.uniform(0.01, 15.0) if rng.random() < 0.2 else 0.0
        call = call.using(id=id, queue=rng.choice(QUEUES), delay=delay)
        if rng.random() < 0.2:
            call = call.using(visibility_timeout=rng.choice([4.0, 9.0, 30.0, 300.0]))
        at = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 30.0)
        return Job(id, at, call, args, promise)

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
        working.add_done_callback(lambda _: gone.set(), context=contextvars.Context())
        self.shifts.append((process, worker, working))
        end = min(until, loop.time() + rng.uniform(0.0, 40.0)) if rng.random() < 0.5 else until
        if self._spend(0.2):
            loop.call_later(rng.uniform(0.0, 20.0), partial(self._freeze, process), context=contextvars.Context())
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
        limits = Limits(rng.choice([3, 100]), 1_000_000, 0.01, claim_ahead=rng.random() < 0.7)
        driver = self.variant.driver(self.server, self.network, self.ledger, name=name, limits=limits)
        return self.variant.worker(
            driver,
            queues=rng.choice([("high", "low"), ("low", "high")]),
            concurrency=rng.choice([1, 2, 4, 8]),
            worker_id=name,
            grace_period=rng.choice([0.0, 1.0, 10.0]),
            visibility_timeout=rng.choice([6.0, 10.0, 30.0]),
            claim_ahead=rng.choice([None, None, 0, 3, 8]),
            retry=RetryPolicy(4, 1.0),
        )

    async def _end(self, process: Process, worker: Any, working: asyncio.Task[None], gone: asyncio.Event) -> None:
        """Tell it to stop, in one of the ways there are, and see that it does in time."""
        loop, way = asyncio.get_running_loop(), self.rng.choice(["stop", "stop", "stop twice", "now", "cancel"])
        self.ledger.note(f"{process.name} is told to end: {way}")
        asked = loop.time()
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
        grace = 10.0
        bound = grace + STUCK_AFTER + LAST_OUTCOMES + 3 * CALL_TIMEOUT
        await _until(gone, asked + bound)
        if not gone.is_set() and not process.frozen:
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
        loop, seconds = asyncio.get_running_loop(), self.rng.uniform(1.0, 40.0)
        self.ledger.note(f"{process.name} freezes for {seconds:.1f} s")
        process.freeze()
        self.ledger.troubled(process.name)

        def thaw() -> None:
            self.ledger.note(f"{process.name} thaws")
            self.ledger.troubled(process.name)
            process.thaw()

        loop.call_later(seconds, thaw, context=contextvars.Context())

    async def _run_the_rest(self) -> None:
        """In peace: fresh workers, until the server is empty. Killers still kill, so there may be several."""
        self.harm, self.network, number = 0, Network(self.seed), 0
        while self.server.rows:
            number += 1
            gone = asyncio.Event()
            process, worker = self._process(f"last.{number}", gone), self._worker(f"last.{number}")
            working = process.start(worker.start(handle_signals=False))
            working.add_done_callback(lambda _, gone=gone: gone.set(), context=contextvars.Context())
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


async def _until(event: asyncio.Event, when: float) -> None:
    """Return when the event is set, or at this time."""
    try:
        async with asyncio.timeout_at(when):
            await event.wait()
    except TimeoutError:
        pass


def simulate(seed: int, variant: Variant | None = None) -> Ledger:
    """Live through the world of this seed; the ledger says what happened."""
    world = World(seed, variant or Variant())
    run(world.live(), HORIZON)
    return world.ledger

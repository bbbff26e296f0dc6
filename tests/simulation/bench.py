"""One server, a network that does as it is told, and workers as processes: for tests of one behaviour."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from asyncdq import Client, Task
from asyncdq.errors import ConnectionLost, DriverError
from asyncdq.message import Limits

from . import dice
from .heart import SimulatedWorker
from .ledger import LEDGER, Ledger
from .records import Execution, Promise
from .scripted import Fate, Network, ScriptedDriver
from .server import Server
from .virtual import OUTSIDE, Process, VirtualLoop, run

ANY_END = frozenset({"done", "attempts", "lost", "rejected", "not_retried"})


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run the test on virtual time, with the same dice every time: what fails once fails again."""

    @functools.wraps(test)
    def wrapped() -> None:
        dice.seed(0)
        run(test())

    del wrapped.__wrapped__  # pytest would see a coroutine function
    return wrapped


class ToldNetwork(Network):
    """A network of which a test says what it does next."""

    def __init__(self) -> None:
        super().__init__()
        self.next: dict[str, list[Fate]] = {}
        self.refused: set[tuple[str, str]] = set()
        self.locked: dict[tuple[str, str], type[ConnectionLost]] = {}
        self.passed_by: set[str] = set()

    def fate(self, verb: str) -> Fate:
        """What the test said, else as usual."""
        told = self.next.get(verb)
        return told.pop(0) if told else super().fate(verb)

    def refuse(self, verb: str, ids: Sequence[str]) -> None:
        """Refuse a call with one of these in it, for good or for now."""
        for id in ids:
            if (verb, id) in self.refused:
                raise DriverError(f"{verb} of {id} is refused")
            if error := self.locked.get((verb, id)):
                raise error(f"{verb} of {id} has to wait for too long")

    def passes_by(self, id: str) -> bool:
        """As the test said."""
        return id in self.passed_by


class Bench:
    """All that a test needs."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self.ledger = Ledger()
        LEDGER.set(self.ledger)
        self.server = Server()
        self.network = ToldNetwork()
        self.limits = limits or Limits(batch=100, body=1_000_000, poll=0.01)

    @property
    def now(self) -> float:
        """The time."""
        return asyncio.get_running_loop().time()

    def driver(self, name: str) -> ScriptedDriver:
        """A connection of its own."""
        return ScriptedDriver(self.server, self.network, self.ledger, name=name, limits=self.limits)

    async def put(self, call: Task[..., Any, Any], *ids: str, args: Sequence[Any] = ()) -> None:
        """Enqueue one call under each of these ids."""
        most = call.options.max_attempts or call.max_attempts or 3
        async with Client(ScriptedDriver(self.server, Network(), self.ledger, name="producer")) as client:
            for id in ids:
                stubborn = call.name == "simulation.stubborn"
                self.ledger.promised(id, Promise(ANY_END, most, stubborn), call.options.delay or 0.0)
                await client.enqueue(call.using(id=id), *args)

    def hire(self, name: str = "w", crash_at: int | None = None, **options: Any) -> Hired:
        """A worker that works in a process of its own."""
        return Hired(self, name, crash_at, options)

    def runs(self, id: str) -> list[Execution]:
        """The executions of this id."""
        return self.ledger.executions[id]

    def ends(self, *ids: str) -> list[str | None]:
        """What became of these ids; None: not ended."""
        return [self.ledger.ends.get(id) for id in ids]

    async def until(self, condition: Callable[[], object], within: float) -> None:
        """Return when this is true; it is an error if it is not `within` so many virtual seconds."""
        deadline = self.now + within
        while not condition():
            assert self.now < deadline, f"not within {within:g} s\n" + "\n".join(self.ledger.trace[-40:])
            await asyncio.sleep(0.01)  # virtual

    def calls(self, hired: Hired, verb: str) -> list[Any]:
        """What this worker's driver was asked."""
        return [what for name, what in hired.driver.calls if name == verb]


class Hired:
    """A worker in its process."""

    def __init__(self, bench: Bench, name: str, crash_at: int | None, options: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._bench = bench
        self.driver = bench.driver(name)
        self.worker = SimulatedWorker(self.driver, worker_id=name, **options)
        self.process = Process(loop, name, crash_at)
        bench.ledger.processes[name] = self.process
        self.working = self.process.start(self.worker.start(handle_signals=False))

    def stop(self, *, now: bool = False) -> None:
        """Tell it to end."""
        self.process.do(functools.partial(self.worker.stop, now=now))

    async def ended(self, within: float) -> float:
        """Wait for its end; the seconds that it took."""
        began = self._bench.now
        async with asyncio.timeout(within):
            await asyncio.wait([self.working])
        self._bench.ledger.left(self.process)
        if not self.working.cancelled():
            self.working.result()
        return self._bench.now - began

    async def retire(self, within: float = 60.0) -> float:
        """Stop, and wait for the end."""
        self.stop()
        return await self.ended(within)

    async def bury(self) -> None:
        """At the end of the test of a crash: let nothing of it be left."""
        self.process.exhume()
        self.process.do(self.working.cancel)
        await asyncio.wait([self.working])


def loses(what: Any, slow: float = 0.001) -> Fate:
    """A call of which the request or the reply is lost."""
    return Fate(slow, slow, what)


def slow(out: float = 0.001, back: float = 0.001) -> Fate:
    """A call that takes its time."""
    return Fate(out, back)


async def later(seconds: float, action: Callable[[], object]) -> None:
    """Do this in so many seconds."""
    asyncio.get_running_loop().call_later(seconds, action, context=OUTSIDE)


LIMITS = Limits(batch=100, body=1_000_000, poll=0.01)


def limited(**changes: Any) -> Limits:
    """Limits with these changes."""
    return replace(LIMITS, **changes)

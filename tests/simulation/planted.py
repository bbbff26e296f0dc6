"""Bugs, planted in workers: each breaks one promise. A simulation that does not find them finds nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from asyncdq.batcher import Batcher
from asyncdq.errors import ConnectionLost
from asyncdq.message import Again, Delivery, Outcome
from asyncdq.worker.admission import Refusal
from asyncdq.worker.config import Config
from asyncdq.worker.crew import Crew
from asyncdq.worker.executor import Executor
from asyncdq.worker.goal import Goal
from asyncdq.worker.job import Verdict
from asyncdq.worker.leases import Leases
from asyncdq.worker.plan import Planner
from asyncdq.worker.run import Run, Stop
from asyncdq.worker.settler import Item, Settled, Settler
from asyncdq.worker.shift import Shift
from asyncdq.worker.suspicion import Suspicion

from .machine import ScriptedProcess
from .parts import SIMULATED, Parts

T = TypeVar("T")


class Unrenewed(Parts):
    """Leases are taken and never renewed."""

    def crew(self, config: Config, real: Crew) -> Crew:
        """Leases that forget what is added to them."""
        return replace(real, leases=_Forgetful(real.driver, real.outage))


class _Forgetful(Leases):
    def add(self, run: Run) -> None:
        """Forget it."""

    def holds(self, run: Run) -> bool:
        """As if."""
        return True


class Dropped(Parts):
    """Outcomes that are not written when the worker ends are dropped."""

    def crew(self, config: Config, real: Crew) -> Crew:
        """A settler whose end nobody waits for."""
        return replace(real, settler=_Hasty(real.driver, real.outage))


class _Hasty(Settler):
    def put(self, delivery: Delivery, outcome: Outcome, done: Callable[[Settled], None], within: float = 0.0) -> None:
        """Write it, unless it is an interrupted run's: those come when the worker ends."""
        if isinstance(outcome, Again) and not outcome.counted and outcome.delay == 0.0:
            done(Settled.WRITTEN)
        else:
            super().put(delivery, outcome, done, within)


class Trusting(Parts):
    """Nobody is a suspect: a killer takes its neighbours with it until all are buried."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift without suspicion."""
        return _Reckless(config, crew)


class _Reckless(Shift):
    def __init__(self, config: Config, crew: Crew) -> None:
        super().__init__(config, crew)
        self._suspicion = _Blind()

    def _isolate(self, suspects: list[Run]) -> None:
        for run in suspects:
            self._backlog.add(run)


class _Blind(Suspicion):
    def room(self, room: int, running: int, now: float) -> int:
        """All of it."""
        return room


class Late(Parts):
    """What was claimed is started, however late."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift that does not look at the clock."""
        return _Timeless(config, crew)


class _Timeless(Shift):
    def _accept(self, deliveries: Sequence[Delivery], claimed_at: float) -> None:
        super()._accept(deliveries, math.inf)


class Deaf(Parts):
    """A task whose lease is gone is not cancelled."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift that does not listen."""
        return _Deaf(config, crew)


class _Deaf(Shift):
    def _lose(self, run: Run) -> None:
        self._leases.drop(run)


class Leaky(Parts):
    """What was claimed ahead is not given back at the end."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift that loses its backlog."""
        return _Leaky(config, crew)


class _Leaky(Shift):
    async def finish(self, grace: float) -> int:
        for run in self._backlog.take():
            self._leases.drop(run)
        return await super().finish(grace)


class EarlyBurst(Parts):
    """A burst ends although its last outcomes may have made something ready."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift that believes an old answer."""
        return _Believing(config, crew)


class _Believing(Shift):
    def __init__(self, config: Config, crew: Crew) -> None:
        super().__init__(config, crew)
        self._goal = _Believed(config.burst, config.max_tasks)


class _Believed(Goal):
    def hear(self, asked: int, *, empty: bool) -> bool:
        return super().hear(self.ask(), empty=empty)


class Greedy(Parts):
    """max_tasks is not heeded."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift that does not count."""
        return _Greedy(config, crew)


class _Greedy(Shift):
    def __init__(self, config: Config, crew: Crew) -> None:
        super().__init__(config, crew)
        self._goal = Goal(config.burst, None)


class Uncapped(Parts):
    """Tasks run for longer than the backend lets them be held."""

    def crew(self, config: Config, real: Crew) -> Crew:
        """A planner that knows no limit."""
        return replace(real, planner=Planner(config.retry, config.timeout, config.visibility_timeout, hold=None))


class Counting(Parts):
    """A run that a shutdown interrupts counts as failed."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift that counts everything."""
        return _Counting(config, crew)


class _Counting(Shift):
    def _settle(self, of: Run | Refusal, verdict: Verdict, within: float = 0.0) -> None:
        if isinstance(of, Run) and isinstance(verdict.outcome, Again) and of.stop is Stop.SHUTDOWN:
            verdict = Verdict(Again(0.0, counted=True), verdict.error, verdict.duration)
        super()._settle(of, verdict, within)


class Resigned(Parts):
    """An outcome whose connection is lost is given up."""

    def crew(self, config: Config, real: Crew) -> Crew:
        """A settler that tries once."""
        return replace(real, settler=_Resigned.of(real.settler))


class _Resigned(Settler):
    @classmethod
    def of(cls, real: Settler) -> Settler:
        turned = _turned(real, cls)
        turned._batcher = Batcher(turned._send_first, turned._driver.limits.batch)
        return turned

    async def _send(self, batch: list[Item], told: Callable[[], None]) -> Sequence[Settled | BaseException]:
        try:
            await self._driver.settle(batch)
        except ConnectionLost:
            return [Settled.FAILED] * len(batch)
        return [Settled.WRITTEN] * len(batch)


class Drowsy(Parts):
    """A stop does not wake a worker that waits for work."""

    def shift(self, config: Config, crew: Crew) -> Shift:
        """A shift that sleeps on."""
        return _Drowsy(config, crew)


class _Drowsy(Shift):
    def stop(self, *, hurry: bool = False) -> None:
        self._stopping = True
        self._hurried = self._hurried or hurry
        self._changed.set()


class Merciful(Parts):
    """A process past its timeout is not killed."""

    machine = replace(SIMULATED, start=lambda: _Immortal())


class _Immortal(ScriptedProcess):
    def _die(self) -> None:
        self.leaving = True
        self._set_gone()


class Rash(Parts):
    """The outcome of a thread is written at its timeout, while it runs on."""

    def crew(self, config: Config, real: Crew) -> Crew:
        """An executor that leaves threads to themselves."""
        return replace(real, executor=_turned(real.executor, _Rash))


class _Rash(Executor):
    async def _in_thread(self, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        async with asyncio.timeout(run.plan.timeout):
            await super()._in_thread(run, args, kwargs)


def _turned(part: Any, kind: type[T]) -> T:
    """The same object, but of this kind: what holds on to it meets the bug, too."""
    part.__class__ = kind
    turned: T = part
    return turned

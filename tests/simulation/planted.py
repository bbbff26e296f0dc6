"""Bugs, planted: each is a part that breaks one promise. A simulation that does not find them finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asyncdq import Client, context
from asyncdq.message import Again, Delivery, Done, Outcome
from asyncdq.worker.config import Config
from asyncdq.worker.crew import Crew, assemble
from asyncdq.worker.leases import Leases
from asyncdq.worker.outage import Outage
from asyncdq.worker.run import Run
from asyncdq.worker.settler import Settled, Settler
from asyncdq.worker.shift import Shift
from asyncdq.worker.suspicion import Suspicion

from .scripted import ScriptedDriver
from .server import Row, Server


class Altered:
    """A worker of the real parts, but for those that a subclass exchanges."""

    def __init__(self, driver: ScriptedDriver, **options: Any) -> None:
        rest: dict[str, Any] = {"max_tasks": None, "burst": False, "heartbeat_interval": 60.0, "timeout": None}
        pool: dict[str, Any] = {"process_pool_size": None, "process_pool_max_tasks_per_child": None}
        self.left_behind = 0
        self._driver = driver
        self._config = Config(**rest, **pool, **options)
        self._shift: Shift | None = None
        self._stopped = False

    def crew(self, real: Crew) -> Crew:
        """The crew, with the bug."""
        return real

    def shift(self, crew: Crew) -> Shift:
        """The shift, with the bug."""
        return Shift(self._config, crew)

    async def start(self, *, handle_signals: bool) -> None:
        """Work, as the real one does."""
        client, outage = Client(self._driver), Outage()
        await outage.persist(lambda: client.open(ambient=False))
        context.sender.set(client)
        async with assemble(self._config, client, outage) as crew:
            self._shift = self.shift(self.crew(crew))
            if self._stopped:
                self._shift.stop()
            try:
                await self._shift.claim()
            finally:
                self.left_behind = await self._shift.finish(self._config.grace_period)
        await client.close()

    def stop(self, *, now: bool = False) -> None:
        """End."""
        self._stopped = True
        if self._shift is not None:
            self._shift.stop(hurry=now)


class Unrenewed(Altered):
    """Leases are taken and never renewed."""

    def crew(self, real: Crew) -> Crew:
        """Leases that forget what is added to them."""
        return replace(real, leases=_Forgetful(real.driver, real.outage))


class _Forgetful(Leases):
    def add(self, run: Run) -> None:
        """Forget it."""

    def holds(self, run: Run) -> bool:
        """As if."""
        return True


class Dropped(Altered):
    """Outcomes that are not written when the worker ends are dropped."""

    def crew(self, real: Crew) -> Crew:
        """A settler whose end nobody waits for."""
        return replace(real, settler=_Hasty(real.driver, real.outage))


class _Hasty(Settler):
    def put(self, delivery: Delivery, outcome: Outcome, done: Callable[[Settled], None]) -> None:
        """Write it, unless it is an interrupted run's: those come when the worker ends."""
        if isinstance(outcome, Again) and not outcome.counted and outcome.delay == 0.0:
            done(Settled.WRITTEN)
        else:
            super().put(delivery, outcome, done)


class Trusting(Altered):
    """Nobody is a suspect: a killer takes its neighbours with it until all are buried."""

    def shift(self, crew: Crew) -> Shift:
        """A shift without suspicion."""
        return _Reckless(self._config, crew)


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


class EarlyOutcome(ScriptedDriver):
    """Every message is done as soon as it is claimed."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Claim, and settle at once."""
        claimed = await super().dequeue(queues, limit, lease)
        await super().settle([(delivery, Done()) for delivery in claimed])
        return claimed

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """It was done long ago."""
        return []

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """No need."""
        return []


class Unfenced(Server):
    """Whoever once held a message may settle it."""

    def _owned(self, delivery: Delivery) -> Row | None:
        return self.rows.get((delivery.queue, delivery.id))


class Twofold(Server):
    """A claim hides nothing for its first seconds."""

    def _hand_out(self, row: Row, lease: float) -> Delivery:
        delivery = super()._hand_out(row, lease)
        row.due = self.now
        return delivery


class Impatient(Server):
    """A retry is ready at once, whatever its delay."""

    def _release(self, row: Row, delay: float) -> None:
        super()._release(row, 0.0)


class Blaming(Server):
    """A lost lease counts twice."""

    def _hand_out(self, row: Row, lease: float) -> Delivery:
        row.lost += row.token is not None
        return super()._hand_out(row, lease)

"""A worker in its process, in a small world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache, partial
from typing import Any

from asyncdq.errors import ConnectionLost
from asyncdq.message import Limits
from asyncdq.retry import RetryPolicy
from asyncdq.worker.config import Config

from .dice import pick, roll
from .heart import Heart, SimulatedWorker
from .ledger import Ledger
from .scripted import Network
from .server import Server
from .size import Size
from .variant import Variant
from .virtual import OUTSIDE, Process

QUEUES = ("high", "low"), ("low", "high")
RETRY = RetryPolicy(4, 1.0)


@lru_cache
def _limits(batch: int, hold: float | None, claim_ahead: bool, keeps_sent: int) -> Limits:
    return Limits(batch, 1_000_000, 0.01, hold=hold, claim_ahead=claim_ahead, keeps_sent=keeps_sent)


@lru_cache(maxsize=10_000)
def told(
    queues: tuple[str, ...],
    concurrency: int = 1,
    max_tasks: int | None = None,
    burst: bool = False,
    grace: float = 1.0,
    lease: float = 10.0,
    pool: int = 1,
    ahead: int | None = None,
) -> Config:
    """What a worker is told: one object for all that are told the same."""
    return Config(queues, concurrency, max_tasks, burst, "", 60.0, grace, lease, pool, None, ahead, RETRY, None)


class Hand:
    """A worker from its beginning to its end. `told` is when it was told to end."""

    def __init__(
        self,
        process: Process,
        variant: Variant,
        server: Server,
        network: Network,
        ledger: Ledger,
        hold: float | None,
        size: Size,
    ) -> None:
        self.process = process
        self.grace = pick((0.0, 1.0, 8.0))
        self.told: float | None = None
        self.over = False
        self.burst = roll() < 0.15
        self.max_tasks = pick(range(1, 4)) if roll() < 0.1 else None
        self._ledger, self._size = ledger, size
        limits = _limits(pick((2, 100)), hold, roll() < 0.7, pick((0, 0, 1, 3)))
        self.driver = variant.driver(server, network, ledger, name=process.name, limits=limits)
        slots, lease, pool, ahead = pick((1, 1, 2, 4)), pick((6.0, 10.0)), pick((1, 2)), pick((None, None, 0, 3))
        config = told(pick(QUEUES), slots, self.max_tasks, self.burst, self.grace, lease, pool, ahead)
        self.worker = self._bare(config, variant) if size.bare else self._whole(config, variant)
        self.working: asyncio.Task[Any] | None = None

    def _bare(self, config: Config, variant: Variant) -> Heart:
        self.driver.is_connected()
        return Heart(self.driver, config, variant.parts)

    def _whole(self, config: Config, variant: Variant) -> SimulatedWorker:
        given = {option.name: getattr(config, option.name) for option in fields(Config)}
        return SimulatedWorker(self.driver, **{**given, "worker_id": self.process.name}, parts=variant.parts)

    def start(self, on_end: Callable[[Hand], None]) -> None:
        """Begin; `on_end` is called once, when it has crashed or ended."""

        def end(_: object) -> None:
            if not self.over:
                self.over = True
                on_end(self)

        self.process.on_end = end
        self.working = self.process.start(self.worker.start(handle_signals=False))
        self.working.add_done_callback(end, context=OUTSIDE)

    def plan(self, action: Callable[[], object]) -> None:
        """Do this at one of its steps, more likely at an early one; or at a time; or while its first task runs."""
        loop, moment = asyncio.get_running_loop(), roll()
        if moment < 0.4:
            self.process.plans[1 + int(roll() ** 2 * self._size.steps)] = action
        elif moment < 0.6:
            loop.call_later(roll() ** 2 * self._size.seconds, action, context=OUTSIDE)
        else:
            self.process.on_task = partial(loop.call_later, roll() * 2.0, action, context=OUTSIDE)

    def cancel(self) -> None:
        """As asyncio.run does when it is interrupted."""
        if self.working is not None:
            self.working.cancel()

    def judge(self) -> None:
        """It has ended: has it ended as it should?"""
        name, ledger = self.process.name, self._ledger
        error = None if self.working is None or self.working.cancelled() else self.working.exception()
        if error is not None and not (isinstance(error, ConnectionLost) and ledger.was_troubled(name)):
            ledger.broken(f"{name} raised {error!r}")
        ledger.left(self.process)
        begun = sum(run.process is self.process for runs in ledger.executions.values() for run in runs)
        if self.max_tasks is not None and begun > self.max_tasks:
            ledger.broken(f"{name} has run {begun} tasks, and was to end after {self.max_tasks}")
        if self.told is None and not ledger.was_troubled(name):
            self._judge_its_own_end(begun)
        if self.worker.left_behind:
            self.process.crash()  # as the command does: what could not be ended dies with its process

    def _judge_its_own_end(self, begun: int) -> None:
        """Nobody told it to end: it has run as many as it was to, or there is nothing left to run."""
        name = self.process.name
        if self.burst:
            last = {verb: number for number, (verb, _) in enumerate(self.driver.calls)}
            changed = max(last.get("settle", -1), last.get("enqueue", -1))
            if last.get("dequeue", -1) < changed and (self.max_tasks is None or begun < self.max_tasks):
                self._ledger.broken(f"{name} has ended its burst without a look at what its outcomes have changed")
        elif self.max_tasks is None:
            self._ledger.broken(f"{name} has ended although nobody told it to")

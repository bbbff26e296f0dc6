"""The heart of the worker: claim what there is room for, run it, settle it, and end in order.

A run goes through these hands; `_running` and `_backlog` hold it on the way:

    claimed -> admitted -> (backlog) -> running -> outcome with the settler -> written, lease dropped
                  |            |            |
                  |            |            +- its lease is lost: cancelled, no outcome
                  |            +- no slot within a second, or the worker stops: given back
                  +- cannot be run at all: an outcome at once
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from ..errors import ConnectionLost, DriverError
from ..message import Delivery, Unstarted
from ..retry import decide, one_line
from ..soon import start_soon
from .admission import Refusal, admit
from .ahead import Ahead
from .backlog import Backlog
from .config import Config
from .crew import Crew
from .doze import Doze
from .executor import STUCK_AFTER
from .goal import Goal
from .idle import Idle
from .job import Verdict
from .log import log
from .reach import Reach
from .run import PARKED_AFTER, Run, Stop
from .settler import Settled
from .suspicion import ALONE, Suspicion


class Shift:
    """One stretch of work, from the first claim to the last outcome handed to the settler."""

    def __init__(self, config: Config, crew: Crew) -> None:
        self._config = config
        self._crew = crew
        self._driver = crew.driver
        self._leases = crew.leases
        self._journal = crew.journal
        self._leases.on_lost, crew.settler.on_sent = self._lose, self._fill
        self._loop, self._context = asyncio.get_running_loop(), copy_context()
        self._positions = {queue: position for position, queue in enumerate(config.queues)}
        self._backlog = Backlog(len(config.queues))
        self._running: dict[Run, None] = {}  # in the order of their start
        self._unwritten = 0  # outcomes
        self._refused = 0  # of these, those of what cannot be run: they take room, too
        self._goal = Goal(config.burst, config.max_tasks)
        self._changed = asyncio.Event()
        self._doze = Doze()
        self._stopping = self._hurried = False
        self._reach = Reach(self._driver, config.queues, all_or_none=config.burst)
        self._idle = Idle(self._reach)
        self._ahead = Ahead(config.concurrency, config.claim_ahead, self._driver.limits.claim_ahead)
        self._suspicion = Suspicion()
        self._parking: asyncio.TimerHandle | None = None

    def stop(self, *, hurry: bool = False) -> None:
        """Claim nothing more; `hurry`: do not wait for what is running either."""
        self._stopping = True
        self._hurried = self._hurried or hurry
        self._changed.set()
        self._doze.call_off(for_good=True)

    def name_of(self, job: asyncio.Task[Any]) -> str | None:
        """Which of the running tasks this asyncio task runs; from any thread."""
        return next((f"{run.task} {run.delivery.id}" for run in list(self._running) if run.job is job), None)

    @property
    def running(self) -> int:
        """How many tasks run."""
        return len(self._running)

    async def claim(self) -> None:
        """Claim and start until told to stop, or until a burst or max_tasks is over. Raises DriverError."""
        tries, failed_at = 0, 0.0
        while not self._over():
            since = failed_at if tries else self._loop.time()
            try:
                await self._turn()
                tries = 0
            except ConnectionLost as error:
                tries, failed_at = tries + 1, self._loop.time()
                self._ahead.pause()  # perhaps it was more than comes through in time
                await self._doze.through(self._crew.outage.pause(error, tries, since))

    async def finish(self, grace: float) -> int:
        """Give back what has not started, let the rest end in `grace` seconds, then cancel it; how many did not end."""
        self._stopping = True
        for run in self._backlog.take():
            self._give_back(run, 0.0)
        try:
            await self._driver.give_back()
        except DriverError as error:
            log.warning("what was buffered could not be given back: %s", error)
        await self._wait_for_runs(grace, or_hurried=True)
        for run in list(self._running):
            run.interrupt(Stop.SHUTDOWN)
        await self._wait_for_runs(STUCK_AFTER)
        for run in self._running:
            log.error("%s %s cannot be ended; it is left behind and given back", run.task, run.delivery.id)
            self._settle(run, Verdict(run.given_up))
        left_behind, self._running = len(self._running), {}
        return left_behind

    async def _turn(self) -> None:
        if (room := self._room()) < 1:
            while not self._over() and self._room() < 1:
                self._changed.clear()
                await self._changed.wait()
            await asyncio.sleep(0)  # what has its slot starts now, not when the next claim is written
            return
        claimed_at, asked = self._loop.time(), self._goal.ask()
        deliveries = await self._reach.dequeue(room, self._config.visibility_timeout)
        self._crew.outage.over()
        current = self._goal.hear(asked, empty=not deliveries)
        if deliveries:
            self._idle.over()
            self._accept(deliveries, claimed_at)
            await asyncio.sleep(0)  # they start now, not when the next claim is written
        elif current and not self._over():
            await self._doze.through(self._idle.wait(self._goal.until_due(self._loop.time())))
            self._ahead.had_nothing(self._loop.time())

    def _lose(self, run: Run) -> None:
        run.interrupt(Stop.LOST)
        if self._backlog.discard(run):
            self._goal.uncount()
            self._note_change()
            self._leases.drop(run)
            self._journal.lost(run.delivery, run.task, run.max_attempts)

    def _over(self) -> bool:
        if self._stopping:
            return True
        return not (self._running or self._backlog or self._unwritten) and self._goal.is_reached(self._loop.time())

    def _room(self) -> int:
        """How many more may be claimed now. What is held up keeps its slots for longer than others may wait for one."""
        held_up = self._crew.settler.aside
        careful = held_up or self._suspicion.wary
        ahead = 0 if careful else self._ahead.room(self._loop.time(), self._backlog.has_lasted())
        room = self._config.concurrency + ahead - len(self._running) - len(self._backlog) - self._refused - held_up
        if room < self._ahead.least(ahead):
            return 0
        room = min(self._goal.within(room), self._driver.limits.batch)
        return self._suspicion.room(room, len(self._running), self._loop.time())

    def _accept(self, deliveries: Sequence[Delivery], claimed_at: float) -> None:
        suspects: list[Run] = []
        only_once, lease = False, self._config.visibility_timeout
        self._suspicion.look(deliveries)
        for delivery in deliveries:
            run = admit(delivery, self._crew, self._positions[delivery.queue], claimed_at, lease)
            if isinstance(run, Refusal):
                self._refused += 1
                self._settle(run, run.verdict)
                continue
            self._goal.count()
            self._leases.add(run)
            only_once = only_once or run.max_attempts == 1
            if run.suspect and not self._stopping:
                suspects.append(run)
            else:
                self._backlog.add(run)
        self._isolate(suspects)
        self._fill()
        if only_once and self._config.claim_ahead is None:
            surplus = self._backlog.surplus(self._config.concurrency)
            self._ahead.hold_back(self._loop.time(), bool(surplus))
            for run in surplus:
                self._give_back(run, 0.0)
        if self._backlog and self._parking is None:
            self._parking = self._loop.call_later(PARKED_AFTER, self._give_back_parked)

    def _isolate(self, suspects: list[Run]) -> None:
        """Run one suspect or none, and not before all that has not started is back: see suspicion.py."""
        now, waiting = self._loop.time(), self._backlog.take() if suspects else []
        chosen = self._suspicion.choose(suspects, len(self._running), now)
        away = self._suspicion.away(now)
        returned = [self._give_back(run, away) for run in suspects] + [self._give_back(run, 0.0) for run in waiting]
        if chosen is not None:
            self._start(chosen, returned)
        if returned or chosen is not None:
            self._loop.call_later(ALONE, self._changed.set)  # by then there is room, though nothing has changed

    def _fill(self) -> None:
        # What has ended would run again if this worker were killed: it keeps its slot until its outcome is on its way.
        while self._backlog and not self._stopping:
            if len(self._running) + self._crew.settler.unsent >= self._config.concurrency:
                self._crew.settler.hurry(self._config.concurrency)
                break
            self._start(self._backlog.pop())

    def _start(self, run: Run, after: Sequence[asyncio.Future[None]] = ()) -> None:
        self._running[run] = None
        context = self._context.copy()  # not that of the task which has just ended, with what it left there
        run.job = start_soon(self._work(run, after), context=context)

    async def _work(self, run: Run, after: Sequence[asyncio.Future[None]]) -> None:
        try:
            if after or run.plan.lease != run.lease:
                await self._prepare(run, after)
            if run.stop is None and self._loop.time() < run.deadline:
                verdict = await self._crew.executor.execute(run, self._journal.started)
            else:
                verdict = None if run.stop is Stop.LOST else Verdict(Unstarted())
        except asyncio.CancelledError:  # its event loop is being torn down, and it had not begun
            verdict = Verdict(Unstarted())
        except BaseException as error:  # ours, not the task's; still it must not cost a slot
            log.exception("%s %s: the worker failed to run it", run.task, run.delivery.id)
            verdict = Verdict(decide(error, run.delivery.attempt, run.plan.policy), one_line(error))
        if run not in self._running:
            return  # left behind by a shutdown that had to end
        del self._running[run]
        run.job = None  # whose context knows the run: a ring that only a garbage collection would free
        if verdict is None:
            if run.begun is None:
                self._goal.uncount()
            self._suspicion.ended(run)
            self._leases.drop(run)
            self._journal.lost(run.delivery, run.task, run.max_attempts)
        else:
            if not isinstance(verdict.outcome, Unstarted):
                self._ahead.ended(verdict.duration, len(run.delivery.body))
            self._settle(run, verdict, self._crew.executor.linger(run))
        self._fill()
        self._note_change()

    async def _prepare(self, run: Run, after: Sequence[asyncio.Future[None]]) -> None:
        """Wait for what has to be written before it, and give it the lease that its task asks for."""
        if after:
            await asyncio.wait(after)
        if run.plan.lease != run.lease and not await self._leases.adopt(run):
            run.interrupt(Stop.LOST)

    def _give_back(self, run: Run, delay: float) -> asyncio.Future[None]:
        """Undo the claim; the future is done when that is written."""
        run.written = self._loop.create_future()
        self._settle(run, Verdict(Unstarted(delay)))
        return run.written

    def _settle(self, of: Run | Refusal, verdict: Verdict, within: float = 0.0) -> None:
        """Hand over the outcome. What became of it is told when it is written, not before."""
        run = of if isinstance(of, Run) else None

        def done(settled: Settled) -> None:
            self._unwritten -= 1
            self._refused -= run is None
            if isinstance(verdict.outcome, Unstarted):
                delay = verdict.outcome.delay
                late = self._driver.limits.poll if delay else 0.0  # as delays may end
                self._goal.ready_again(self._loop.time() + delay + late)
            if run is not None:
                self._suspicion.ended(run)
                self._leases.drop(run)
            self._journal.settled(of.delivery, of.task, verdict, settled, of.max_attempts)
            self._note_change()
            if run is not None and run.written is not None:
                run.written.set_result(None)

        if isinstance(verdict.outcome, Unstarted):
            self._goal.uncount()
        self._unwritten += 1
        self._crew.settler.put(of.delivery, verdict.outcome, done, within)

    def _give_back_parked(self) -> None:
        """Give back what waited too long for a slot, and claim nothing ahead until the slots turn over."""
        self._parking = None
        parked = self._backlog.take(self._loop.time() - PARKED_AFTER)
        for run in parked:
            self._give_back(run, 0.0)
        if parked:
            self._ahead.pause()
        if self._backlog:
            self._parking = self._loop.call_later(PARKED_AFTER / 4, self._give_back_parked)

    async def _wait_for_runs(self, timeout: float, *, or_hurried: bool = False) -> None:
        """Return when nothing is running, after `timeout` seconds, or, if asked, when told to hurry."""
        deadline = self._loop.time() + timeout
        while self._running and not (or_hurried and self._hurried) and (left := deadline - self._loop.time()) > 0:
            self._changed.clear()
            timer = self._loop.call_later(left, self._changed.set)
            await self._changed.wait()
            timer.cancel()

    def _note_change(self) -> None:
        """A run has ended or its outcome is written: there may be room, or a burst may be over."""
        self._changed.set()
        self._goal.change()
        if self._config.burst and not self._unwritten:
            self._doze.call_off()

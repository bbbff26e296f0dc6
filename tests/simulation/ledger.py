"""What really happened, written down outside of the system under test, and judged while it is written.

The driver's far end writes every claim, renewal and outcome; the tasks write every start and end. A rule that
is broken is noted, not raised: an error raised inside a task is the worker's to handle.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import Enum

from asyncdq.message import REASONS, Again, Dead, Delivery, Done, Outcome, Unstarted
from asyncdq.worker.suspicion import ALONE

from .virtual import PROCESS, Process

LEDGER: ContextVar[Ledger] = ContextVar("ledger")

EPSILON = 1e-9


class Held(Enum):
    """What became of a lease."""

    STILL = "held"
    SETTLED = "settled"
    LAPSED = "lapsed, and claimed by somebody else"


@dataclass(slots=True, eq=False)
class Lease:
    """One claim of one message, as the server saw it. `arrived`: its worker has heard of it."""

    id: str
    by: str
    receipt: int
    length: float
    until: float
    arrived: bool
    state: Held = Held.STILL


@dataclass(slots=True, eq=False)
class Execution:
    """One run of one task. `end` is empty while it runs."""

    id: str
    process: Process | None
    lease: Lease | None
    attempt: int
    started: float
    ended: float | None = None
    end: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """What must become of a message: `ends` are "done" or the reasons of a burial."""

    ends: frozenset[str]
    max_attempts: int = 3
    stubborn: bool = False  # cannot be ended: a shutdown may leave it running and give it back


@dataclass(slots=True)
class Ledger:
    """All that happened, in order, and what of it must not have."""

    trace: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    executions: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    promises: dict[str, Promise] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    _holders: dict[str, Lease] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)
    _counted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _troubles: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, text: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{_now():12.6f}  {text}")

    def broken(self, rule: str) -> None:
        """A rule has been broken."""
        self.note(f"BROKEN: {rule}")
        self.violations.append(f"at {_now():.6f}: {rule}")

    def troubled(self, by: str) -> None:
        """This worker is cut off or late: its leases may end."""
        self._troubles[by].append(_now())

    def promised(self, id: str, promise: Promise, delay: float = 0.0) -> None:
        """This message is about to be enqueued."""
        self.promises[id] = promise
        self._not_before[id] = _now() + delay

    def claimed(self, by: str, deliveries: Sequence[Delivery], length: float, *, arrives: bool) -> None:
        """The server handed these out."""
        if deliveries:
            self.note(f"{by} claims {' '.join(delivery.id for delivery in deliveries)}{'' if arrives else ' (lost)'}")
        for delivery in deliveries:
            id, now = delivery.id, _now()
            if (holder := self._holders.get(id)) is not None:
                self._lapsed(holder)
            if now < self._not_before.get(id, 0.0) - EPSILON:
                self.broken(f"{id} is claimed {self._not_before[id] - now:.3f} s early")
            self._holders[id] = Lease(id, by, delivery.receipt, length, now + length, arrives)

    def extended(self, by: str, batch: Sequence[Delivery], refused: Sequence[Delivery], length: float) -> None:
        """The server renewed these, but for the refused."""
        self.note(f"{by} extends {' '.join(each.id for each in batch)} by {length:g}{_but(refused)}")
        for delivery in batch:
            lease = self._holder(delivery)
            if delivery in refused:
                continue
            if lease is None:
                self.broken(f"{by} extends {delivery.id}, which is not its own")
            else:
                lease.length, lease.until = length, _now() + length

    def settled(self, by: str, batch: Sequence[tuple[Delivery, Outcome]], refused: Sequence[Delivery]) -> None:
        """The server wrote these outcomes, but for the refused."""
        for delivery, outcome in batch:
            accepted = delivery not in refused
            self.note(f"{by} settles {delivery.id} {_short(outcome)}{'' if accepted else ': refused'}")
            if accepted:
                lease = self._holder(delivery)
                if lease is None:
                    self.broken(f"{by} settles {delivery.id}, which is not its own")
                else:
                    self._end(lease, outcome)

    def started(self, id: str, attempt: int) -> Execution:
        """A task begins in the current process."""
        process, lease, now = PROCESS.get(None), self._holders.get(id), _now()
        name = process.name if process is not None else "nobody"
        self.note(f"{name} starts {id}, attempt {attempt}")
        if lease is None or lease.by != name or now >= lease.until:
            self.broken(f"{name} starts {id} without a lease")
        if attempt > self._promise(id).max_attempts:
            self.broken(f"{id} begins attempt {attempt}")
        for other in self.executions[id]:
            self._check_overlap(other, name)
        execution = Execution(id, process, lease, attempt, now)
        self.executions[id].append(execution)
        return execution

    def ended(self, execution: Execution, end: str) -> None:
        """A task ends, in whatever way."""
        execution.ended, execution.end = _now(), end
        self.note(f"{execution.process.name if execution.process else ''} ends {execution.id}: {end}")

    def left(self, process: Process) -> None:
        """A worker has ended cleanly: it may hold nothing."""
        self.note(f"{process.name} has ended")
        for lease in self._holders.values():
            if lease.by == process.name and not self._excused(lease):
                self.broken(f"{process.name} has ended, and {lease.id} is stranded until {lease.until:.3f}")

    def check_ends(self) -> None:
        """Everything that was enqueued has ended, and as it had to."""
        for id, promise in self.promises.items():
            end = self.ends.get(id, "lost")
            if end not in promise.ends:
                self.broken(f"{id} ended as {end!r}, not as one of {sorted(promise.ends)}")

    def _promise(self, id: str) -> Promise:
        return self.promises.get(id, Promise(frozenset(REASONS)))  # of what the test enqueued itself

    def _holder(self, delivery: Delivery) -> Lease | None:
        lease = self._holders.get(delivery.id)
        return lease if lease is not None and lease.receipt == delivery.receipt else None

    def _lapsed(self, lease: Lease) -> None:
        if _now() < lease.until - EPSILON:
            self.broken(f"{lease.id} is claimed twice: {lease.by} holds it until {lease.until:.3f}")
        elif not self._excused(lease):
            self.broken(f"{lease.by} is alive and well, and lost its lease of {lease.id}")
        lease.state = Held.LAPSED

    def _excused(self, lease: Lease) -> bool:
        process = self.processes.get(lease.by)
        if process is None or process.dead or not lease.arrived:
            return True
        return any(time > lease.until - lease.length - 1.0 for time in self._troubles[lease.by])

    def _end(self, lease: Lease, outcome: Outcome) -> None:
        id = lease.id
        del self._holders[id]
        lease.state = Held.SETTLED
        runs = [run for run in self.executions[id] if run.lease is lease]
        match outcome:
            case Done():
                self.ends[id] = "done"
                if not any(run.end == "returned" for run in runs):
                    self.broken(f"{id} is done, and has not run to its end")
            case Dead(reason):
                self.ends[id] = reason
                if reason == "lost" and self._was_long(id):
                    self.promises[id] = replace(self._promise(id), ends=frozenset({"lost"}))
                if reason not in self._promise(id).ends:
                    self.broken(f"{id} is buried as {reason!r}")
            case Again(delay, counted):
                self._not_before[id] = _now() + delay
                self._counted[id] += counted
                if self._counted[id] >= self._promise(id).max_attempts:
                    self.broken(f"{id} has failed {self._counted[id]} times and is to run again")
            case Unstarted(delay):
                self._not_before[id] = _now() + delay
                if runs:
                    self.broken(f"{id} is given back as not started, and was started")

    def _was_long(self, id: str) -> bool:
        """Whether its last run had been alone for as long as a suspect is, when a newcomer ended their worker."""
        last = self.executions[id][-1] if self.executions[id] else None
        return last is not None and last.process is not None and last.process.died - last.started > ALONE

    def _check_overlap(self, other: Execution, by: str) -> None:
        over = other.ended is not None or other.process is None or other.process.dead
        lapsed = other.lease is None or other.lease.state is Held.LAPSED
        if not over and not lapsed and not self._promise(other.id).stubborn:
            name = other.process.name if other.process else "nobody"
            self.broken(f"{by} starts {other.id} while it runs in {name}")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _but(refused: Sequence[Delivery]) -> str:
    return f", refused: {' '.join(each.id for each in refused)}" if refused else ""


def _short(outcome: Outcome) -> str:
    match outcome:
        case Again(delay, counted):
            return f"again in {delay:g} s{'' if counted else ', uncounted'}"
        case Unstarted(delay):
            return f"unstarted, {delay:g} s"
        case Dead(reason):
            return f"dead: {reason}"
        case Done():
            return "done"

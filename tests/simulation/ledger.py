"""What really happened, written down outside of the system under test, and judged while it is written.

The driver's far end writes every claim, renewal and outcome; the tasks write every start and end. A rule that
is broken is noted, not raised: an error raised inside a task is the worker's to handle.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from asyncdq.message import REASONS, Again, Dead, Delivery, Done, Outcome, Unstarted
from asyncdq.worker.suspicion import ALONE

from .clock import running_time
from .records import Execution, Held, Lease, Promise
from .virtual import PROCESS, Process, VirtualLoop

LEDGER: ContextVar[Ledger] = ContextVar("ledger")

ANY = Promise(frozenset(REASONS))
"""Of what the test enqueued itself."""
EPSILON = 1e-9
SOON = 5.3  # seconds: one call that is lost, a pause, and another call
EPILOGUE = 5.0  # seconds that a story goes on after the first rule is broken
AT_ONCE = 2.0  # seconds: an answer on its way


@dataclass(slots=True)
class Ledger:
    """All that happened, in order, and what of it must not have."""

    clock: Callable[[], float] = running_time
    violations: list[str] = field(default_factory=list)
    executions: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    promises: dict[str, Promise] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    closed: bool = False  # the story is over: what the dead still do is no part of it
    steady: bool = False  # no call is ever lost
    kind: bool = False  # at most one is, and the server is always up
    _notes: list[tuple[float, tuple[object, ...]]] = field(default_factory=list)
    _holders: dict[str, Lease] = field(default_factory=dict)
    _lapses: dict[str, Lease] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)
    _counted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _troubles: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def trace(self) -> list[str]:
        """The story, line by line."""
        return [f"{time:12.6f}  {' '.join(map(_word, words))}" for time, words in self._notes]

    def note(self, *words: object) -> None:
        """A line of the trace; written out only when somebody reads it."""
        if not self.closed:
            self._notes.append((self.clock(), words))

    def broken(self, rule: str) -> None:
        """A rule has been broken."""
        if self.closed:
            return
        self.note("BROKEN:", rule)
        self.violations.append(f"at {self.clock():.6f}: {rule}")
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            loop.horizon = min(loop.horizon, loop.time() + EPILOGUE)

    def troubled(self, by: str) -> None:
        """This worker is cut off or late: its leases may end."""
        self._troubles[by].append(self.clock())

    def was_troubled(self, by: str) -> bool:
        """Whether it ever was."""
        return by in self._troubles

    def promised(self, id: str, promise: Promise, delay: float = 0.0) -> None:
        """This message is about to be enqueued."""
        self.promises[id] = promise
        self._not_before[id] = self.clock() + delay

    def claimed(self, by: str, deliveries: Sequence[Delivery], length: float) -> None:
        """The server handed these out."""
        if deliveries:
            self.note(by, "claims", deliveries)
        for delivery in deliveries:
            id, now = delivery.id, self.clock()
            if (holder := self._holders.get(id)) is not None:
                self._lapsed(holder)
            if now < self._not_before.get(id, 0.0) - EPSILON:
                self.broken(f"{id} is claimed {self._not_before[id] - now:.3f} s early")
            self._holders[id] = Lease(id, by, delivery.receipt, length, now + length)

    def heard(self, deliveries: Sequence[Delivery]) -> None:
        """Their worker has received these."""
        for delivery in deliveries:
            if (lease := self._holder(delivery)) is not None:
                lease.heard = True

    def extended(self, by: str, batch: Sequence[Delivery], refused: Sequence[Delivery], length: float) -> None:
        """The server renewed these, but for the refused."""
        self.note(by, "extends", batch, "by", length, *(("refused:", refused) if refused else ()))
        for delivery in batch:
            lease = self._holder(delivery)
            if delivery in refused:
                self._note_refusal(delivery)
                continue
            if lease is None:
                self.broken(f"{by} extends {delivery.id}, which is not its own")
            else:
                lease.length, lease.until = length, self.clock() + length

    def turned_away(self, deliveries: Iterable[Delivery]) -> None:
        """The server refuses to write these outcomes, though they are their owner's."""
        for delivery in deliveries:
            if (lease := self._holder(delivery)) is not None:
                lease.turned_away = True

    def settled(self, by: str, batch: Sequence[tuple[Delivery, Outcome]], refused: Sequence[Delivery]) -> None:
        """The server wrote these outcomes, but for the refused."""
        for delivery, outcome in batch:
            accepted = delivery not in refused
            self.note(by, "settles", delivery.id, outcome, "" if accepted else "refused")
            if accepted:
                lease = self._holder(delivery)
                if lease is None:
                    self.broken(f"{by} settles {delivery.id}, which is not its own")
                else:
                    self._end(lease, outcome)

    def started(self, id: str, attempt: int) -> Execution:
        """A task begins in the current process."""
        process, lease, now = PROCESS.get(), self._holders.get(id), self.clock()
        name = process.name if process is not None else "nobody"
        self.note(name, "starts", id, "attempt", attempt)
        if lease is None or lease.by != name or now >= lease.until:
            self.broken(f"{name} starts {id} without a lease")
        if attempt > self._promise(id).max_attempts:
            self.broken(f"{id} begins attempt {attempt}")
        for other in self.executions[id]:
            self._check_overlap(other, name)
            if other.lease is lease:
                self.broken(f"{name} starts {id} twice")
        if process is not None and process.on_task is not None:
            process.on_task()
            process.on_task = None
        execution = Execution(id, process, lease, attempt, now)
        self.executions[id].append(execution)
        return execution

    def ended(self, execution: Execution, end: str) -> None:
        """A task ends, in whatever way."""
        now, process = self.clock(), execution.process
        execution.ended, execution.end = now, end
        self.note("" if process is None else process.name, "ends", execution.id, end)
        self._check_deaf(execution, now)
        if now - execution.started > self._promise(execution.id).longest and not self._late(process):
            self.broken(f"{execution.id} has run for {now - execution.started:g} s")

    def left(self, process: Process) -> None:
        """A worker has ended cleanly: it may hold nothing."""
        self.note(process.name, "has ended")
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
        return self.promises.get(id, ANY)

    def _holder(self, delivery: Delivery) -> Lease | None:
        lease = self._holders.get(delivery.id)
        return lease if lease is not None and lease.receipt == delivery.receipt else None

    def _lapsed(self, lease: Lease) -> None:
        if self.clock() < lease.until - EPSILON:
            self.broken(f"{lease.id} is claimed twice: {lease.by} holds it until {lease.until:.3f}")
        elif not self._excused(lease):
            self.broken(f"{lease.by} is alive and well, and lost its lease of {lease.id}")
        elif self._forgotten(lease):
            self.broken(f"{lease.by} is alive, and has forgotten the outcome of {lease.id}")
        lease.state = Held.LAPSED
        self._lapses[lease.id] = lease

    def _forgotten(self, lease: Lease) -> bool:
        """Whether its task ended long enough ago for the outcome to have been written, in spite of one lost call."""
        process = self.processes.get(lease.by)
        if not self.kind or process is None or process.dead or process.froze or process.ending or lease.turned_away:
            return False
        runs = [run for run in self.executions[lease.id] if run.lease is lease]
        # One whose late renewal was refused is given up rightly, even if nobody had claimed it.
        return any(run.ended is not None and not run.refused and self.clock() - run.ended > SOON for run in runs)

    def _note_refusal(self, delivery: Delivery) -> None:
        for run in self.executions[delivery.id]:
            if run.ended is None and run.lease is not None and run.lease.receipt == delivery.receipt:
                run.refused = self.clock()

    def _check_deaf(self, execution: Execution, now: float) -> None:
        """Whether it went on for longer than it can have taken its worker to hear that it is no longer its own."""
        process, since = execution.process, execution.refused
        if process is None or since is None or not self.steady or self._promise(execution.id).stubborn:
            return
        if now - since > AT_ONCE and all(time <= since for time in self._troubles.get(process.name, ())):
            self.broken(f"{process.name} goes on with {execution.id}, although it knows that it is no longer its own")

    def _excused(self, lease: Lease) -> bool:
        process = self.processes.get(lease.by)
        if process is None or process.dead or not lease.heard:
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
                if reason == "lost" and (self._was_long(id) or self._was_under_way(id)):
                    self.promises[id] = self._promise(id)._replace(ends=frozenset({"lost"}))
                if reason not in self._promise(id).ends:
                    self.broken(f"{id} is buried as {reason!r}")
            case Again(delay, counted):
                self._not_before[id] = self.clock() + delay
                self._counted[id] += counted
                if self._counted[id] >= self._promise(id).max_attempts:
                    self.broken(f"{id} has failed {self._counted[id]} times and is to run again")
            case Unstarted(delay):
                self._not_before[id] = self.clock() + delay
                if runs:
                    self.broken(f"{id} is given back as not started, and was started")

    def _was_long(self, id: str) -> bool:
        """Whether its last run had been alone for as long as a suspect is, when a newcomer ended their worker."""
        last = self.executions[id][-1] if self.executions[id] else None
        return last is not None and last.process is not None and last.process.died - last.started > ALONE

    def _was_under_way(self, id: str) -> bool:
        """Whether its last life went with a claim that its worker never heard of, when a killer ended that."""
        last = self._lapses.get(id)
        return last is not None and not last.heard and last.by in self.processes and self.processes[last.by].dead

    def _late(self, process: Process | None) -> bool:
        return process is None or self.was_troubled(process.name)

    def _check_overlap(self, other: Execution, by: str) -> None:
        over = other.ended is not None or other.process is None or other.process.dead
        lapsed = other.lease is None or other.lease.state is Held.LAPSED
        stubborn = self._promise(other.id).stubborn and other.process is not None and other.process.ending
        if not over and not lapsed and not stubborn:
            name = other.process.name if other.process else "nobody"
            self.broken(f"{by} starts {other.id} while it runs in {name}")


def _word(word: object) -> str:
    match word:
        case [*deliveries]:
            return " ".join(delivery.id if isinstance(delivery, Delivery) else str(delivery) for delivery in deliveries)
        case Again(delay, counted):
            return f"again in {delay:g} s{'' if counted else ', uncounted'}"
        case Unstarted(delay):
            return f"unstarted, {delay:g} s"
        case Dead(reason):
            return f"dead: {reason}"
        case Done():
            return "done"
        case _:
            return str(word)

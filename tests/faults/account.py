"""The checker: what was promised, what was executed, and what is wrong between the two. Pure: it reads entries."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple, Self

from tests.integration.ledger import RETURNED, Entry

AT_ONCE = 0.5
"""Seconds by which a task may come before one of an earlier queue: two workers, and what they had claimed."""


class Promise(NamedTuple):
    """What the producer may expect of a task; it stands in the ledger with the enqueue that returned.

    due    unix seconds before which it must not start; 0: it may start at once
    rank   the place of its queue: 0 is the most important one
    most   executions that may fail
    retry  seconds that lie between a failure and the next attempt
    dies   it ends in the dead letters, and nowhere else
    """

    due: float = 0.0
    rank: int = 0
    most: int = 3
    retry: float = 0.0
    dies: bool = False

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """The promise of an enqueue."""
        return cls(*json.loads(entry.said)) if entry.said else cls()

    @property
    def said(self) -> str:
        """How it stands in the ledger."""
        return json.dumps(self)


@dataclass(slots=True)
class Execution:
    """One execution; `end` is None and `how` empty if its worker did not live to see it."""

    id: str
    attempt: int
    pid: int
    start: float
    end: float | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What the ledger comes to.

    lost           neither executed to the end nor, if that was its promise, buried
    duplicates     executions of an attempt beyond its first
    twice          executions to the end beyond the first one of a task
    early          starts before the due time, or before the pause between two attempts was over
    lateness       seconds between due and started, of each that had to wait for its time
    out_of_order   starts although a task of an earlier queue was waiting
    over_attempts  tasks with more attempts than they may have
    buried         tasks in the dead letters that have no business there
    unknown        executions of what no enqueue that returned knows: those whose reply was lost
    """

    tasks: int = 0
    executions: int = 0
    lost: frozenset[str] = frozenset()
    duplicates: int = 0
    twice: int = 0
    early: int = 0
    lateness: tuple[float, ...] = ()
    out_of_order: int = 0
    over_attempts: int = 0
    buried: frozenset[str] = frozenset()
    unknown: int = 0

    @property
    def latest(self) -> float | None:
        """Seconds of the 99th percentile of lateness."""
        return sorted(self.lateness)[len(self.lateness) * 99 // 100] if self.lateness else None


@dataclass(slots=True)
class Books:
    """The entries of a ledger, by id. `off` says by how many seconds the clock of a process is wrong."""

    enqueued: Iterable[Entry]
    starts: Iterable[Entry]
    ends: Iterable[Entry]
    dead: Iterable[str] = ()
    off: Mapping[int, float] = field(default_factory=dict)

    def account(self) -> Account:
        """What they come to."""
        promised = {entry.id: (Promise.of(entry), entry.at) for entry in self.enqueued}
        runs, dead = executions(self.starts, self.ends, self.off), set(self.dead)
        known = {id: runs.get(id, []) for id in promised}
        promises = {id: promise for id, (promise, _) in promised.items()}
        return Account(
            tasks=len(promised),
            executions=sum(map(len, runs.values())),
            lost=frozenset(id for id, promise in promises.items() if not _kept(promise, known[id], id in dead)),
            duplicates=sum(len(each) - len({run.attempt for run in each}) for each in runs.values()),
            twice=sum(max(0, sum(run.how == RETURNED for run in each) - 1) for each in runs.values()),
            early=sum(wait < 0 for id, promise in promises.items() for wait in _waits(promise, known[id])),
            lateness=tuple(wait for id, promise in promises.items() for wait in _waits(promise, known[id])),
            out_of_order=_out_of_order(promised, known),
            over_attempts=sum(
                max((run.attempt for run in known[id]), default=0) > promise.most for id, promise in promises.items()
            ),
            buried=frozenset(id for id in dead if id in promises and not promises[id].dies),
            unknown=sum(len(each) for id, each in runs.items() if id not in promised),
        )


def executions(starts: Iterable[Entry], ends: Iterable[Entry], off: Mapping[int, float]) -> dict[str, list[Execution]]:
    """The executions of each id, in the order of their start by the honest clock."""
    open_runs: dict[tuple[str, int, int], list[Execution]] = defaultdict(list)
    found: dict[str, list[Execution]] = defaultdict(list)
    for entry in starts:
        run = Execution(entry.id, entry.attempt, entry.pid, entry.at - off.get(entry.pid, 0.0))
        open_runs[entry.id, entry.attempt, entry.pid].append(run)
        found[entry.id].append(run)
    for entry in ends:
        if waiting := open_runs[entry.id, entry.attempt, entry.pid]:
            run = waiting.pop(0)
            run.end, run.how = entry.at - off.get(entry.pid, 0.0), entry.said
    return {id: sorted(runs, key=lambda run: run.start) for id, runs in found.items()}


def _kept(promise: Promise, runs: list[Execution], dead: bool) -> bool:
    """Whether it came to its end; an innocent that was buried is counted as that, and not as lost."""
    return dead or (not promise.dies and any(run.how == RETURNED for run in runs))


def _waits(promise: Promise, runs: list[Execution]) -> list[float]:
    """By how much each start came after its time; negative: early."""
    waits = [runs[0].start - promise.due] if promise.due and runs else []
    if promise.retry:
        for before, after in pairwise(runs):
            if after.attempt > before.attempt and before.end is not None:
                waits.append(after.start - before.end - promise.retry)
    return waits


def _out_of_order(promised: Mapping[str, tuple[Promise, float]], runs: Mapping[str, list[Execution]]) -> int:
    """How many started although one of an earlier queue was there, and started only later.

    What had to wait for its time, was retried or lost is left out: nobody can say when it was ready again.
    """
    plain = [
        (promise.rank, max(at, promise.due), runs[id][0].start)
        for id, (promise, at) in promised.items()
        if runs[id] and not promise.retry
    ]
    wrong = 0
    for rank in {rank for rank, _, _ in plain}:
        higher = sorted((ready, start) for other, ready, start in plain if other < rank)
        latest = list(accumulate((start for _, start in higher), max))
        for own, _, start in plain:
            before = bisect_left(higher, (start - AT_ONCE,)) if own == rank else 0
            wrong += before > 0 and latest[before - 1] > start + AT_ONCE
    return wrong

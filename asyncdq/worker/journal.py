"""What the worker tells: one log line and one event per start, success, retry and burial, and the counts.

A start is a line at level debug, and so is each success beyond a thousand in a second, which are counted instead: a
line takes as long as all the rest of a short task. A failed attempt has its traceback, as text: twenty of a second do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..events.hub import Hub
from ..events.types import (
    TaskCompleted,
    TaskFailed,
    TaskLeaseLost,
    TaskRetrying,
    TaskStarted,
    Told,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
    about,
    task_error,
)
from ..message import Again, Dead, Delivery, Done, Unstarted
from ..names import shown
from .brevity import Brevity
from .job import Verdict
from .log import log
from .run import Run
from .settler import Settled
from .tracebacks import Tracebacks


class Journal:
    """Logs, counts and emits the life of tasks. Every line carries its facts as `extra` fields too.

    Without emitters `events` is None, and no event is built.
    """

    def __init__(self, events: Hub | None = None) -> None:
        self._counts: Counter[str] = Counter()
        self._events = events
        self._brevity = Brevity(_more)
        self._tracebacks = Tracebacks()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many tasks ended how, and how many events were dropped if there were any."""
        dropped = 0 if self._events is None else self._events.dropped
        return {**self._counts, "events_dropped": dropped} if dropped else self._counts

    def __str__(self) -> str:
        counts = sorted(self.counts.items())
        return ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in counts) or "nothing done"

    def online(self) -> None:
        """The worker is ready."""
        if self._events is not None:
            self._events.emit(WorkerOnline(worker_id=self._events.worker_id))

    def alive(self) -> None:
        """The worker lives."""
        if self._events is not None:
            self._events.emit(WorkerHeartbeat(worker_id=self._events.worker_id))

    def offline(self) -> None:
        """The worker has ended, and all its outcomes are written."""
        self._brevity.end()
        if self._events is not None:
            self._events.emit(WorkerOffline(worker_id=self._events.worker_id))

    def started(self, run: Run) -> None:
        """The task begins; who took it over from a worker that is dead says so, for that one cannot."""
        if run.delivery.lost:
            self._redelivered(run.delivery, run.task)
        most = run.max_attempts
        if log.isEnabledFor(logging.DEBUG):
            text = _attempt(run.delivery, most)
            _say("task_started", text, run.delivery, run.task, logging.DEBUG, max_attempts=most)
        if self._events is not None:
            self._events.emit(_about(TaskStarted, self._events, run.delivery, run.task, most))

    def settled(
        self, delivery: Delivery, task: str, verdict: Verdict, settled: Settled, max_attempts: int | None = None
    ) -> None:
        """The outcome was written, or was not; `task` may be unknown here. A refused one the settler has logged."""
        if settled is Settled.LOST:
            self.lost(delivery, task, max_attempts)
        elif settled is not Settled.FAILED:
            self._decided(delivery, task, verdict, max_attempts)
        if settled is Settled.WRITTEN and self._events is not None:
            self._emit_outcome(self._events, delivery, task, verdict, max_attempts)

    def lost(self, delivery: Delivery, task: str, max_attempts: int | None) -> None:
        """The lease is gone: the task may run elsewhere."""
        self._counts["lost"] += 1
        _say("task_lease_lost", "lease lost, its outcome here counts for nothing", delivery, task, logging.WARNING)
        if self._events is not None:
            self._events.emit(_about(TaskLeaseLost, self._events, delivery, task, max_attempts))

    def _redelivered(self, delivery: Delivery, task: str) -> None:
        times = "once" if delivery.lost == 1 else f"{delivery.lost} times"
        text = f"begins again; it was lost {times}: its worker died or lost its lease"
        _say("task_redelivered", text, delivery, task, logging.WARNING, lost=delivery.lost)

    def _emit_outcome(
        self, events: Hub, delivery: Delivery, task: str, verdict: Verdict, max_attempts: int | None
    ) -> None:
        match verdict.outcome:
            case Done():
                completed = _about(TaskCompleted, events, delivery, task, max_attempts)
                completed.duration = verdict.duration
                events.emit(completed)
            case Again(delay, counted):
                retrying = _about(TaskRetrying, events, delivery, task, max_attempts)
                retrying.duration, retrying.error = verdict.duration, task_error(verdict.error)
                retrying.delay, retrying.counted = delay, counted
                events.emit(retrying)
            case Dead(reason, error):
                failed = _about(TaskFailed, events, delivery, task, max_attempts)
                failed.duration, failed.error, failed.reason = verdict.duration, task_error(error), reason
                events.emit(failed)
            case Unstarted():
                pass  # nothing has happened to the task

    def _decided(self, delivery: Delivery, task: str, verdict: Verdict, max_attempts: int | None) -> None:
        took = verdict.duration
        facts: Mapping[str, Any]
        match verdict.outcome:
            case Done():
                self._counts["done"] += 1
                if log.isEnabledFor(logging.INFO) and (self._brevity.grants() or log.isEnabledFor(logging.DEBUG)):
                    text = f"{_attempt(delivery, max_attempts)} in {took:.3f} s"
                    _say("task_completed", text, delivery, task, duration=took, max_attempts=max_attempts)
            case Again(delay, counted):
                why = verdict.error or "interrupted"
                self._counts["retried" if counted else "snoozed" if verdict.error else "interrupted"] += 1
                facts = {"delay": delay, "counted": counted, "error": why, "duration": took}
                text = f"again in {delay:g} s: {why}"
                level = logging.WARNING if counted else logging.INFO
                _say("task_retrying", text, delivery, task, level, self._traceback(verdict), **facts)
            case Dead(reason, error):
                self._counts["buried"] += 1
                text, facts = f"buried ({reason}): {error}", {"reason": reason, "error": error, "duration": took}
                _say("task_failed", text, delivery, task, logging.ERROR, self._traceback(verdict), **facts)
            case Unstarted():
                self._counts["given_back"] += 1

    def _traceback(self, verdict: Verdict) -> str:
        granted = verdict.traceback and self._tracebacks.grants(asyncio.get_running_loop().time())
        return verdict.traceback if granted else ""


def _about(kind: type[Told], events: Hub, delivery: Delivery, task: str, max_attempts: int | None) -> Told:
    return about(kind, events.worker_id, delivery.id, task, delivery.queue, delivery.attempt, max_attempts)


def _more(count: int) -> None:
    text = "%d more tasks were completed in the same second; log level debug has a line for each"
    log.info(text, count, extra={"event": "tasks_completed", "count": count})


def _attempt(delivery: Delivery, max_attempts: int | None) -> str:
    return f"attempt {delivery.attempt}" + (f" of {max_attempts}" if max_attempts is not None else "")


def _say(
    event: str, text: str, delivery: Delivery, task: str, level: int = logging.INFO, trace: str = "", **facts: Any
) -> None:
    if not log.isEnabledFor(level):
        return
    extra = {"event": event, "task_id": delivery.id, "task": task, "queue": delivery.queue, "attempt": delivery.attempt}
    # The name and the id may be those of a message that nobody here has written.
    line = "%s %s %s %s", event, shown(task), shown(delivery.id), shown(text)
    if trace:
        log.log_with("\n".join(map(shown, trace.rstrip("\n").split("\n"))), level, *line, extra=extra | facts)
    else:
        log.log(level, *line, extra=extra | facts)

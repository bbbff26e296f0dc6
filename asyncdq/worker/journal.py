"""What the worker tells: one log line per start, success, retry and burial, and the counts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..message import Again, Dead, Delivery, Done, Unstarted
from .job import Verdict
from .run import Run
from .settler import Settled

_log = logging.getLogger("asyncdq.worker")


class Journal:
    """Logs and counts the life of tasks. Every line carries its facts as `extra` fields too."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __str__(self) -> str:
        return ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items())) or "nothing done"

    def started(self, run: Run) -> None:
        """The task begins."""
        if _log.isEnabledFor(logging.INFO):
            attempt, most = run.delivery.attempt, run.plan.policy.max_attempts
            _say("task_started", f"attempt {attempt} of {most}", run.delivery, run.plan.task.name, max_attempts=most)

    def settled(self, delivery: Delivery, task: str, verdict: Verdict, settled: Settled) -> None:
        """The outcome was written, or was not; `task` may be unknown here. A refused one the settler has logged."""
        if settled is Settled.LOST:
            self.lost(delivery, task)
        elif settled is not Settled.FAILED:
            self._decided(delivery, task, verdict)

    def lost(self, delivery: Delivery, task: str) -> None:
        """The lease is gone: the task may run elsewhere."""
        self.counts["lost"] += 1
        _say("task_lease_lost", "lease lost, its outcome here counts for nothing", delivery, task, logging.WARNING)

    def _decided(self, delivery: Delivery, task: str, verdict: Verdict) -> None:
        outcome, took = verdict.outcome, verdict.duration
        match outcome:
            case Done():
                self.counts["done"] += 1
                if _log.isEnabledFor(logging.INFO):
                    _say("task_completed", f"in {took:.3f} s", delivery, task, duration=took)
            case Again(delay, counted):
                self.counts["retried" if counted else "interrupted"] += 1
                why = verdict.error or "interrupted"
                facts: Mapping[str, Any] = {"delay": delay, "counted": counted, "error": why, "duration": took}
                text = f"again in {delay:g} s: {why}"
                _say("task_retrying", text, delivery, task, logging.WARNING if counted else logging.INFO, **facts)
            case Dead(reason, error):
                self.counts["buried"] += 1
                text = f"buried ({reason}): {error}"
                _say("task_failed", text, delivery, task, logging.ERROR, reason=reason, error=error, duration=took)
            case Unstarted():
                self.counts["given_back"] += 1


def _say(event: str, text: str, delivery: Delivery, task: str, level: int = logging.INFO, **facts: Any) -> None:
    extra = {"event": event, "task_id": delivery.id, "task": task, "queue": delivery.queue, "attempt": delivery.attempt}
    _log.log(level, "%s %s %s %s", event, task, delivery.id, text, extra=extra | facts)

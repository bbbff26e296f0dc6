"""One delivery in this worker's hands, from the claim to its outcome."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import Enum

from ..context import CurrentTask
from ..envelope import Envelope
from ..message import Again, Delivery, Unstarted
from .plan import Plan

PARKED_AFTER = 1.0  # seconds that a claimed run may wait for a slot or a process before another worker gets it


class Stop(Enum):
    """Why a run is ended before its task returns."""

    TIMEOUT = "its timeout passed"
    SHUTDOWN = "the worker shuts down"
    LOST = "its lease was lost: another worker may run it"


class Run:
    """A claimed delivery with what the worker knows about it.

    `begun` is the event loop's time at which the task began, if it has, `deadline` the one until which the lease is
    certainly ours: the clock before the call that took or renewed it, plus its length. `stops_at` says which reasons
    can interrupt the task at this moment by cancelling `job`: all of them while a coroutine is awaited, none while an
    outcome is being decided. Who waits until it is given back waits for `written`.
    """

    __slots__ = (
        "begun",
        "claimed_at",
        "deadline",
        "delivery",
        "envelope",
        "job",
        "lease",
        "plan",
        "position",
        "stop",
        "stops_at",
        "written",
    )

    def __init__(
        self, delivery: Delivery, envelope: Envelope, plan: Plan, position: int, claimed_at: float, lease: float
    ) -> None:
        self.delivery = delivery
        self.envelope = envelope
        self.plan = plan
        self.position = position
        self.claimed_at = claimed_at
        self.begun: float | None = None
        self.lease = lease
        self.deadline = claimed_at + lease
        self.job: asyncio.Task[None] | None = None
        self.written: asyncio.Future[None] | None = None
        self.stop: Stop | None = None
        self.stops_at: frozenset[Stop] = frozenset()

    @property
    def task(self) -> str:
        """The name of its task."""
        return self.plan.task.name

    @property
    def max_attempts(self) -> int:
        """How often it may fail, and how often in a row be lost."""
        return self.plan.policy.max_attempts

    @property
    def suspect(self) -> bool:
        """Whether the next loss would bury it: it may be what killed its workers."""
        lost = self.delivery.lost
        return lost > 0 and lost >= self.max_attempts - 1

    @property
    def given_up(self) -> Again | Unstarted:
        """The outcome, if a shutdown ends it: it counts for nothing, and is as before its claim if it had not begun."""
        return Unstarted() if self.begun is None else Again(0.0, counted=False)

    def current(self) -> CurrentTask:
        """What the task can know about itself."""
        delivery, enqueued_at = self.delivery, self.envelope.options.get("enqueued_at")
        return CurrentTask(
            delivery.id,
            self.task,
            delivery.queue,
            delivery.attempt,
            self.max_attempts,
            None if enqueued_at is None else datetime.fromtimestamp(enqueued_at, UTC),
        )

    def interrupt(self, why: Stop) -> None:
        """End the task for this reason, as far as it can be ended. A lost lease outranks every other reason."""
        if self.stop is None or why is Stop.LOST:
            self.stop = why
        if why in self.stops_at and self.job is not None:
            self.job.cancel()

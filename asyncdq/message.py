"""The nouns that travel between client, driver and worker. Imports nothing of asyncdq but what makes them values.

A message flows one way:

    Task.enqueue -> Client -> serializer, envelope -> BaseDriver.enqueue
    BaseDriver.dequeue -> Worker -> executor -> decide -> Settler -> BaseDriver.settle
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from .value import value

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


@value
class Message:
    """What a driver stores. `delay` is in seconds, counted from the moment of storing."""

    id: str
    queue: str
    body: bytes
    delay: float = 0.0


@value(eq=False)
class Delivery:
    """One handing-out of a message, under a lease. Compared by identity: a redelivery is another one.

    `attempt` is 1 + the outcomes that counted. `lost` is the number of earlier deliveries since the
    last outcome that ended with none: the worker died, or lost its lease. `receipt` belongs to the
    driver and proves that the lease is still ours.
    """

    id: str
    queue: str
    body: bytes
    attempt: int
    lost: int
    receipt: Any


@value
class Done:
    """The task is finished: forget the message."""


@value
class Again:
    """Deliver once more after `delay` seconds. `counted` raises `attempt`; either way `lost` becomes 0."""

    delay: float
    counted: bool


@value
class Unstarted:
    """The task never began: undo the claim, counters included, and hide the message for `delay` seconds."""

    delay: float = 0.0


@value
class Dead:
    """Bury the message. `reason` is one of `REASONS`, `error` one line, `detail` the traceback."""

    reason: str
    error: str = ""
    detail: str = ""


Outcome = Done | Again | Unstarted | Dead

REASONS: Mapping[str, str] = {
    "attempts": "it failed max_attempts times",
    "lost": "max_attempts workers in a row died or lost their lease while they held it",
    "rejected": "the task raised Reject, or an error of give_up_on",
    "not_retried": "its error is not one of retry_on",
    "undecodable": "its body cannot be read",
    "unsigned": "it is not signed with a key that this worker knows",
    "unknown": "no worker that received it knows a task of that name",
}
"""Why a message is in the dead letters. The keys are stored; they never change their meaning."""


@value
class DeadLetter:
    """A buried message. `died_at` is unix seconds.

    `attempts` counts its failures, and the deliveries that were lost since the last outcome before this one.
    """

    id: str
    queue: str
    body: bytes
    reason: str
    error: str
    detail: str
    attempts: int
    died_at: float


def executions(delivery: Delivery, reason: str) -> int:
    """The `attempts` of a dead letter: what is buried for its losses was not executed this time."""
    return delivery.attempt + delivery.lost - (reason == "lost")


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How many messages a queue holds, by state. None where the broker cannot say."""

    ready: int | None
    delayed: int | None
    leased: int | None
    dead: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a backend can take. The core checks it before the call; a driver only declares it.

    batch        messages, deliveries or outcomes in one call
    body         bytes of one message body
    poll         seconds: how late `wait` may notice that a message became ready
    delay        seconds of the longest delay that `enqueue` and `settle` take; None: any
    hold         seconds that one delivery may be held in total, however often it is extended; None: any
    claim_ahead  whether claiming many more than can be started at once hides a round trip here
    ends_leases  whether a lease ends when its seconds have passed; else with the connection that took it
    keeps_sent   calls of `settle_telling` that can be on their way side by side, if it tells; 0 counts as 1
    leaves_out   whether a `dequeue` of several queues leaves one out that it cannot have, and raises only of that alone
    """

    batch: int
    body: int
    poll: float
    delay: float | None = None
    hold: float | None = None
    claim_ahead: bool = True
    ends_leases: bool = True
    keeps_sent: int = 0
    leaves_out: bool = False


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call says about itself; None leaves the choice to the task, then to the worker's defaults.

    All durations are seconds. `run_at` becomes a delay on the machine that enqueues.
    """

    id: str | None = None
    queue: str | None = None
    delay: float | None = None
    run_at: datetime | None = None
    max_attempts: int | None = None
    retry_delay: float | None = None
    timeout: float | None = None
    visibility_timeout: float | None = None


UNSAID = CallOptions()
"""The options of most calls: known by identity, they need neither be checked nor be read."""


@value
class Call(Generic[T_co]):
    """A task with its arguments, ready to be enqueued. `T_co` is the type of the task's result."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: CallOptions = UNSAID


class Bindable(Protocol[P, T_co]):
    """What can be enqueued: a task."""

    def bind(self, /, *args: P.args, **kwargs: P.kwargs) -> Call[T_co]:
        """The call as a value."""
        ...


@value
class Enqueued(Generic[T_co]):
    """What `enqueue` returns. `created` is False if this id was already waiting or running: nothing was stored."""

    id: str
    queue: str
    created: bool = True

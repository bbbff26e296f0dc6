"""The contract between the core and a backend: few verbs, and every one takes a batch.

The core decides, a driver moves bytes. A driver never serializes, retries, buries on its own, logs,
emits events, reads settings or knows what a task is.

Rules that every driver keeps; each is a test of the contract suite:

 1. `enqueue` returns when all messages are stored. When it raises, `error.stored` names those that
    were. Stored means: it survives the loss of the client, and of the server as far as the server is
    configured to.
 2. An id is the client's, and unique per queue where the backend has keys: an id that is ready,
    delayed or leased stores nothing and is returned. After it is done or buried, it may run again.
 3. `dequeue` hands out at most `limit`, earlier queues first, in one round trip if the backend can.
    `dequeue`, `settle`, `extend` and `enqueue` run to their end once begun, whatever happens to the
    caller. Each has a timeout of its own; when it passes, the driver discards that connection and
    raises `ConnectionLost`: outcome unknown. No transaction stays open across a round trip.
 4. `wait` wakes at once where the backend can, else within `limits.poll`. Every move to ready
    (enqueue, retry, release, requeue) wakes when the queue was empty. A delay that is shorter than
    what waiters sleep wakes them too; longer ones, and the ends of leases, are met by asking when
    the next message is due. A wake that comes between a claim and the `wait` after it is not lost.
 5. A delivery is hidden for `lease` seconds. When they pass it is claimable again by itself:
    recovery is part of the claim, not a sweeper that someone has to run.
 6. The fence is a random token, drawn per claim, stored with the lease and compared in every settle
    and extend. (A count as fence repeats: after a release whose reply was lost, when an id is used
    again, after a server crash.) A lapsed lease that nobody has claimed may be settled or be answered
    lost, never a false yes. Settling twice is harmless.
 7. Two counters. `attempt` is 1 + the outcomes that counted; `lost` the deliveries since the last
    outcome that ended with none. `Again` clears `lost`, and raises `attempt` if counted. `Unstarted`
    undoes the claim: both as before it. Whether to bury is the core's decision, never the driver's.
 8. Where a move takes two calls, send first and delete second: a crash between duplicates, never loses.
 9. Any delay works, also beyond the broker's own limit; fractions round up, never early.
10. Errors of the client library become `DriverError` at one place (`ConnectionLost` where trying again
    makes sense). After the server restarts, the driver works again without being rebuilt.
11. Safe to call concurrently from one event loop; another loop, or a forked process, gets a clear error.
12. Queue names and ids have been checked by the core before they come here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from ..message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats


def untold() -> None:
    """The `sent` of who need not be told."""


class BaseDriver(ABC):
    """One backend. All durations are float seconds; every verb may raise `DriverError`."""

    limits: Limits

    @classmethod
    @abstractmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The driver for a URL of its scheme, not yet connected. Raises ConfigurationError."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether `connect` has succeeded and `disconnect` has not been called since."""

    @abstractmethod
    async def connect(self) -> None:
        """Open what is needed to serve calls. Raises `ConnectionLost` if the backend does not answer."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close everything; may be called repeatedly, and before `connect`."""

    @abstractmethod
    async def setup(self) -> None:
        """Create or migrate what the backend needs. Idempotent, and safe when ten processes do it at once."""

    @abstractmethod
    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """Store all; return those whose id was already waiting or running, for which nothing was stored."""

    @abstractmethod
    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Claim up to `limit` ready messages for `lease` seconds, without waiting for any.

        `queues` maps each queue to the most to take from it now, in priority order; the result is in
        that order too.
        """

    @abstractmethod
    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when one of `queues` may have something ready, or after `timeout` seconds.

        Holds nothing, and may be cancelled at any time.
        """

    @abstractmethod
    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Write the outcomes, of any kinds mixed; return the deliveries that were no longer ours.

        May raise `Blocked` where one of them waits for something that may never come; others may be written then.
        """

    async def settle_telling(
        self, outcomes: Sequence[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        """`settle`; calls `sent` when the backend will carry it out whole though this process is killed in that moment.

        In the thread of the event loop, and more than once if the call is repeated. Where that cannot be told before
        the answer, as here, it is not called.
        """
        return await self.settle(outcomes)

    @abstractmethod
    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """Let the leases end `lease` seconds from now; return the deliveries that were no longer ours.

        Raises `Blocked` with what has become of each if some of them cannot be extended at the moment.
        """

    async def give_back(self) -> None:  # noqa: B027 - not abstract: most backends buffer nothing
        """Stop taking, and return what the driver has buffered and not handed out."""

    @abstractmethod
    async def queues(self) -> list[str] | None:
        """The names of all queues that hold anything, dead letters included; None if the broker cannot list."""

    @abstractmethod
    async def stats(self, queue: str) -> QueueStats:
        """How many messages the queue holds, by state."""

    @abstractmethod
    async def purge(self, queue: str) -> int | None:
        """Delete what is ready, and delayed where the backend can; never what is leased or dead.

        What a lease that has ended still names counts as ready and is spared all the same, until it is claimed
        again: its worker may yet settle it. Returns how many, or None where the broker cannot say.
        """

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()


@runtime_checkable
class DeadLetters(Protocol):
    """Buried messages, by queue; burying an id that is dead already replaces the older letter."""

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first, beginning behind the one with the id `after`."""
        ...

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None."""
        ...

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Make these ready again, with the same ids and fresh counters; return the ids that were moved.

        An id that is unknown, or waiting or running at the moment, is not moved.
        """
        ...

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Forget these; return the ids that were there."""
        ...


@runtime_checkable
class Migrates(Protocol):
    """A backend whose schema is made by statements that an operator may want to read first."""

    async def pending(self) -> list[str]:
        """The statements that `setup` would run now; empty when the schema is current."""
        ...

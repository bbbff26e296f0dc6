"""A queue in Amazon SQS: standard queues, ten messages per call, a long poll per queue while a worker is idle.

How a message stands there is explained in `sqs_envelope.py`, what comes from there in `sqs_intake.py`, what goes
back in `sqs_outcomes.py`. Every call is paid for: an idle worker makes 60 / `poll` + 2 a minute and
queue, which is 14; ten tasks cost 3 when it is busy, 4 when they end its wait, and 2 more for each retry. A worker
with a concurrency below ten takes fewer with each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ..errors import AsyncdqError, DriverError
from ..message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats
from .calls import Calls
from .session import Session, SessionDriver
from .sqs_address import address, split
from .sqs_batches import Batches
from .sqs_dead import Letters
from .sqs_envelope import MOST_BODY, first
from .sqs_intake import Intake
from .sqs_outcomes import LONGEST_HOLD, Outcomes
from .sqs_purge import purge
from .sqs_queues import DEAD, Queues, checked
from .sqs_wire import Client, Wire

LONGEST_DELAY = 900
"""Seconds of delay that one sending may have; what is longer hops."""

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session(Session):
    wire: Wire
    queues: Queues
    batches: Batches
    outcomes: Outcomes
    intake: Intake
    letters: Letters
    calls: Calls = field(default_factory=Calls)


class SQSDriver(SessionDriver[_Session]):
    """Messages in standard queues of one region. Without keys, the credentials are found as by every AWS tool.

    Queues are named `prefix` and the queue's name, and are created when they are needed, with 14 days of
    retention; with `queue_url_prefix`, their URL is that and the name, and nothing is created. A call that is not
    answered within `timeout` seconds is `ConnectionLost`. A long poll lasts `poll` seconds, 20 at most: the longer,
    the fewer calls an idle worker makes, and the longer it may take to stop. `client` is an open aiobotocore client
    to be used, which stays open; `session` is an aiobotocore or aioboto3 session that makes one.
    """

    # A lease or delay is rounded up to whole seconds, so a wait may end that much later.
    limits = Limits(batch=100, body=MOST_BODY, poll=1.0, hold=LONGEST_HOLD - 600.0, claim_ahead=True)

    longest_delay = LONGEST_DELAY
    """Seconds of one hop: less in tests."""

    def __init__(
        self,
        region: str = "us-east-1",
        *,
        queue_url_prefix: str | None = None,
        endpoint_url: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        timeout: float | str = 10.0,
        prefix: str = "asyncdq-",
        poll: int | str = 5,
        client: Client | None = None,
        session: object = None,
    ) -> None:
        options = {"region": region, "queue_url_prefix": queue_url_prefix, "endpoint_url": endpoint_url}
        options |= {"aws_access_key_id": aws_access_key_id, "aws_secret_access_key": aws_secret_access_key}
        self._address = address({**options, "timeout": timeout, "prefix": prefix, "poll": poll})
        self._client = client
        self._made_by = session

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The driver for a URL as in `sqs_address`. Raises `ConfigurationError`."""
        said: dict[str, Any] = {**options, **split(url)}
        return cls(**said)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._address)!r})"

    async def _open(self) -> _Session:
        wire = Wire(self._address, self._client, self._made_by)
        await wire.open()
        try:
            await wire.greet()
        except BaseException:
            await wire.close()
            raise
        queues = Queues(wire, self._address)
        batches = Batches(queues)
        outcomes = Outcomes(batches, self.longest_delay)
        return _Session(
            wire=wire,
            queues=queues,
            batches=batches,
            outcomes=outcomes,
            intake=Intake(queues, batches, outcomes, self._address.poll),
            letters=Letters(queues, batches),
        )

    async def _close(self, session: _Session) -> None:
        await session.calls.ended()
        await session.intake.close(self._address.poll + 1.0)  # returns what the last long polls bring
        await session.wire.close()

    async def setup(self) -> None:
        """Nothing: queues are created when they are needed."""
        self._here()

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """Always stores all: SQS knows no ids, so none can be waiting already."""
        session = self._here()
        return await session.calls.run(self._enqueue(session, messages))

    async def _enqueue(self, session: _Session, messages: Sequence[Message]) -> list[Message]:
        by_queue: dict[str, list[Message]] = {}
        for message in messages:
            by_queue.setdefault(checked(message.queue), []).append(message)
        answers = await asyncio.gather(
            *(
                session.batches.send(queue, [first(message, self.longest_delay) for message in own])
                for queue, own in by_queue.items()
            )
        )
        told = [
            (message, error)
            for own, errors in zip(by_queue.values(), answers, strict=True)
            for message, error in zip(own, errors, strict=True)
        ]
        for error in (error for _, error in told if error is not None):
            if isinstance(error, DriverError):
                error.stored = tuple(message for message, error in told if error is None)
            raise error
        return []

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """A call for each ten messages of a queue; a later queue is asked when the earlier ones have given all.

        AWS asks only some of its servers for messages, and may so say of a short queue that it is empty when it is
        not: a `wait` then brings them, but a burst may end before them.
        """
        session = self._here()
        claimed: list[Delivery] = []
        claim = session.calls.start(self._dequeue(session, queues, limit, lease, claimed))
        try:
            return await asyncio.shield(claim)
        except BaseException:
            # The caller has gone, or an error came after something was claimed: others shall have it.
            claim.add_done_callback(lambda _: session.intake.keep(claimed))
            raise

    async def _dequeue(
        self, session: _Session, queues: Mapping[str, int], limit: int, lease: float, claimed: list[Delivery]
    ) -> list[Delivery]:
        failures: list[AsyncdqError] = []
        for queue, share in queues.items():
            most = min(share, limit - len(claimed), self.limits.batch - len(claimed))
            if most > 0:
                try:
                    claimed += await session.intake.claim(checked(queue), most, lease)
                except AsyncdqError as error:  # of this queue, perhaps: some limits and keys are those of one
                    failures.append(error)
        if failures and not claimed:
            raise failures[0]
        if not claimed:
            claimed += await session.intake.last_look(queues, min(limit, self.limits.batch), lease)
        return claimed

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when something has come through a long poll, or after `timeout` seconds.

        What has come is held for the next `dequeue` of this driver, for a moment.
        """
        await self._here().intake.wait([checked(queue) for queue in queues], timeout)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Two calls for each ten outcomes of a queue, one for those that are Done."""
        session = self._here()
        return await session.calls.run(session.outcomes.settle(outcomes))

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """One call for each ten deliveries of a queue; not beyond 12 hours from their claim."""
        session = self._here()
        return await session.calls.run(session.outcomes.extend(deliveries, lease))

    async def give_back(self) -> None:
        """Send back what long polls have brought; what those under way bring goes back when it comes."""
        session = self._here()
        await session.calls.run(session.intake.give_back())

    async def queues(self) -> list[str]:
        """The names of our queues that hold anything, sorted; two calls for each that there is."""
        session = self._here()
        names = {name.removesuffix(DEAD) for name in await session.queues.names()}
        counted = await asyncio.gather(*(self.stats(name) for name in names))
        held = zip(names, counted, strict=True)
        return sorted(name for name, stats in held if any((stats.ready, stats.delayed, stats.leased, stats.dead)))

    async def stats(self, queue: str) -> QueueStats:
        """What SQS says approximately, up to a minute late. What long polls hold counts as leased."""
        session = self._here()
        alive, dead = await asyncio.gather(
            session.queues.attributes(checked(queue), *_COUNTS), session.queues.attributes(queue + DEAD, *_COUNTS)
        )
        ready, delayed, leased = (int(alive.get(name, 0)) for name in _COUNTS)
        return QueueStats(ready, delayed, leased, sum(int(dead.get(name, 0)) for name in _COUNTS))

    async def purge(self, queue: str) -> int:
        """Receive and delete what is ready; what is delayed stays. Two calls for each ten."""
        session = self._here()
        ready = (await self.stats(queue)).ready or 0
        return await session.calls.run(purge(queue, ready, session.intake, session.batches))

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first; from the first if `after` is unknown. Reads all of them."""
        session = self._here()
        found = await session.calls.run(session.letters.read(checked(queue)))
        begin = next((place + 1 for place, letter in enumerate(found) if letter.id == after), 0)
        return found[begin : begin + limit]

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None. Reads all of them."""
        session = self._here()
        found = await session.calls.run(session.letters.read(checked(queue)))
        return next((letter for letter in found if letter.id == id), None)

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Send these anew and forget the letters; whether an id is waiting or running, SQS cannot say."""
        session = self._here()
        return await session.calls.run(session.letters.requeue(checked(queue), ids))

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Forget these letters."""
        session = self._here()
        return await session.calls.run(session.letters.delete(checked(queue), ids))

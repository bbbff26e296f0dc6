"""A queue in the memory of one process: the driver that docs/drivers.md explains.

What each verb promises stands in `BaseDriver`; a docstring here says only what this one adds.
"""

from __future__ import annotations

import asyncio
import heapq
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from asyncdq.drivers.session import Session, SessionDriver
from asyncdq.errors import ConfigurationError
from asyncdq.message import Again, Dead, DeadLetter, Delivery, Done, Limits, Message, Outcome, QueueStats, executions
from asyncdq.testing import Backend

Key = tuple[str, str]  # queue and id


@dataclass(slots=True, eq=False)
class Row:
    """A message that waits or runs. It may be claimed from `due` on; `token` is that of the claim not yet settled."""

    message: Message
    due: float
    attempt: int = 1
    lost: int = 0
    token: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Session):
    """All there is, from `connect` to `disconnect`. No method awaits, so each is atomic."""

    rows: dict[Key, Row] = field(default_factory=dict[Key, Row])
    letters: dict[Key, DeadLetter] = field(default_factory=dict[Key, DeadLetter])  # the oldest first
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, *queues: str) -> list[Row]:
        return [row for (queue, _), row in self.rows.items() if queue in queues]

    def store(self, message: Message) -> bool:
        key = message.queue, message.id
        if new := key not in self.rows:
            self.rows[key] = Row(message, self.loop.time() + message.delay)
        return new

    def claim(self, row: Row, lease: float) -> Delivery:
        row.lost += row.token is not None  # the claim before this one ended with no outcome
        row.token, row.due = secrets.token_bytes(8), self.loop.time() + lease
        return Delivery(row.message.id, row.message.queue, row.message.body, row.attempt, row.lost, row.token)

    def owned(self, delivery: Delivery) -> Row | None:
        """The fence: None if somebody has claimed or settled it since."""
        row = self.rows.get((delivery.queue, delivery.id))
        return row if row and row.token == delivery.receipt else None

    def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        if not (row := self.owned(delivery)):
            return False
        if isinstance(outcome, (Done, Dead)):
            del self.rows[delivery.queue, delivery.id]
            if isinstance(outcome, Dead):
                self.bury(row.message, outcome, executions(delivery, outcome.reason))
        else:
            row.token, row.due = None, self.loop.time() + outcome.delay
            if isinstance(outcome, Again):
                row.attempt, row.lost = row.attempt + outcome.counted, 0
        return True

    def bury(self, message: Message, why: Dead, attempts: int) -> None:
        id, queue = message.id, message.queue
        self.letters.pop((queue, id), None)  # buried again, it is the youngest
        letter = DeadLetter(id, queue, message.body, why.reason, why.error, why.detail, attempts, time.time())
        self.letters[queue, id] = letter

    def extend(self, delivery: Delivery, lease: float) -> bool:
        if row := self.owned(delivery):
            row.due = self.loop.time() + lease
        return row is not None

    def wake(self) -> None:
        """Whoever waits looks again."""
        self.changed.set()
        self.changed.clear()


class MemoryDriver(SessionDriver[Memory]):
    """Messages in this process, for one event loop; `disconnect` forgets them."""

    limits = Limits(batch=1000, body=16 * 2**20, poll=0.0, claim_ahead=False)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        if url != "memory://" or options:
            raise ConfigurationError("a memory:// URL has nothing behind it and takes no options")
        return cls()

    async def _open(self) -> Memory:
        return Memory()

    async def _close(self, session: Memory) -> None:
        session.wake()  # whoever waits hears that it is over

    async def setup(self) -> None:
        self._here()

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        session = self._here()
        known = [message for message in messages if not session.store(message)]
        session.wake()
        return known

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        session, claimed = self._here(), list[Delivery]()
        for queue, share in queues.items():
            due = [row for row in session.of(queue) if row.due <= session.loop.time()]
            first = heapq.nsmallest(min(share, limit - len(claimed)), due, key=lambda row: row.due)
            claimed += [session.claim(row, lease) for row in first]
        return claimed

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        end = self._here().loop.time() + timeout
        while (now := (session := self._here()).loop.time()) < end:
            next_due = min((row.due for row in session.of(*queues)), default=end)
            if next_due <= now:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(next_due, end)):
                    await session.changed.wait()

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        session = self._here()
        refused = [delivery for delivery, outcome in outcomes if not session.settle(delivery, outcome)]
        session.wake()
        return refused

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        session = self._here()
        refused = [delivery for delivery in deliveries if not session.extend(delivery, lease)]
        session.wake()  # a lease may also be shortened
        return refused

    async def queues(self) -> list[str]:
        session = self._here()
        return sorted({queue for queue, _ in [*session.rows, *session.letters]})

    async def stats(self, queue: str) -> QueueStats:
        session = self._here()
        rows, dead = session.of(queue), sum(name == queue for name, _ in session.letters)
        hidden = [row.token is not None for row in rows if row.due > session.loop.time()]
        return QueueStats(len(rows) - len(hidden), hidden.count(False), hidden.count(True), dead)

    async def purge(self, queue: str) -> int:
        """A lease that has ended, and that nobody has claimed, is spared."""
        session = self._here()
        return len([session.rows.pop((queue, row.message.id)) for row in session.of(queue) if row.token is None])

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """From the oldest if `after` is unknown."""
        letters = [letter for (name, _), letter in self._here().letters.items() if name == queue]
        begin = next((index for index, letter in enumerate(letters, 1) if letter.id == after), 0)
        return letters[begin : begin + limit]

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        return self._here().letters.get((queue, id))

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        session = self._here()
        found = [letter for id in ids if (letter := session.letters.get((queue, id)))]
        moved = [letter.id for letter in found if session.store(Message(letter.id, queue, letter.body))]
        for id in moved:
            del session.letters[queue, id]
        session.wake()
        return moved

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        letters = self._here().letters
        return [id for id in ids if letters.pop((queue, id), None)]


BACKEND = Backend(id="memory", store=lambda folder: MemoryDriver, shared=False, durable=False)
"""For the contract suite: python -m asyncdq.testing examples.memory_driver:BACKEND"""

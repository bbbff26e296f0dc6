"""A queue server in memory: the contract's store, without network. Its clock is the event loop's."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from asyncdq.message import Again, Dead, DeadLetter, Delivery, Done, Message, Outcome, QueueStats, Unstarted

from .clock import running_time

Key = tuple[str, str]
"""Queue and id."""


@dataclass(slots=True, eq=False)
class Row:
    """A message that waits or runs. `due` is when it can be claimed next; `token` is its claim's, or None."""

    message: Message
    due: float
    number: int
    attempt: int = 1
    lost: int = 0
    token: int | None = None


class Server:
    """All queues. `honours_lapsed`: whether a lease that has ended, unclaimed, may still be settled."""

    def __init__(self, *, honours_lapsed: bool = True, clock: Callable[[], float] = running_time) -> None:
        self.rows: dict[Key, Row] = {}
        self.dead: dict[Key, DeadLetter] = {}
        self.honours_lapsed = honours_lapsed
        self.closed = False
        self.on_empty: Callable[[], None] = lambda: None
        self._clock = clock
        self._numbers = itertools.count(1)
        self._sleepers: dict[asyncio.Future[None], None] = {}  # not a set: its order must repeat

    @property
    def now(self) -> float:
        """The server's clock."""
        return self._clock()

    def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """Store what is new; return the others."""
        known = [message for message in messages if not self._store(message)]
        self.wake()
        return known

    def claim(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Hand out what is due."""
        claimed: list[Delivery] = []
        due = self._due()
        for queue, share in queues.items() if due else ():
            rows = [row for row in due if row.message.queue == queue]
            claimed += [self._hand_out(row, lease) for row in rows[: min(share, limit - len(claimed))]]
        return claimed

    def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Write the outcomes; return the deliveries that are no longer their owners'."""
        refused = [delivery for delivery, outcome in outcomes if not self._settle(delivery, outcome)]
        self.wake()
        if not self.rows:
            self.on_empty()
        return refused

    def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """Renew the leases; return the deliveries that are no longer their owners'."""
        return [delivery for delivery in deliveries if not self._extend(delivery, lease)]

    def stats(self, queue: str) -> QueueStats:
        """The numbers of a queue."""
        rows = [row for (name, _), row in self.rows.items() if name == queue]
        leased = sum(row.token is not None and row.due > self.now for row in rows)
        delayed = sum(row.token is None and row.due > self.now for row in rows)
        dead = sum(name == queue for name, _ in self.dead)
        return QueueStats(len(rows) - leased - delayed, delayed, leased, dead)

    def purge(self, queue: str) -> int:
        """Delete what waits."""
        gone = [key for key, row in self.rows.items() if key[0] == queue and row.token is None]
        for key in gone:
            del self.rows[key]
        return len(gone)

    def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Make dead letters ready again."""
        moved = [id for id in ids if (queue, id) in self.dead and (queue, id) not in self.rows]
        for id in moved:
            self._store(Message(id, queue, self.dead.pop((queue, id)).body))
        self.wake()
        return moved

    def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Forget dead letters."""
        return [id for id in ids if self.dead.pop((queue, id), None)]

    def next_due(self, queues: Sequence[str]) -> float | None:
        """When something of these queues can be claimed next."""
        return min((row.due for (queue, _), row in self.rows.items() if queue in queues), default=None)

    async def sleep(self, until: float) -> None:
        """Return when something changed, or at this time."""
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        self._sleepers[sleeper] = None
        timer = loop.call_at(until, _end, sleeper)
        try:
            await sleeper
        finally:
            timer.cancel()
            del self._sleepers[sleeper]

    def wake(self) -> None:
        """Let every sleeper look again."""
        for sleeper in list(self._sleepers):
            _end(sleeper)

    def _store(self, message: Message) -> bool:
        key = message.queue, message.id
        if key in self.rows:
            return False
        self.rows[key] = Row(message, self.now + message.delay, next(self._numbers))
        return True

    def _due(self) -> list[Row]:
        now = self.now
        return sorted((row for row in self.rows.values() if row.due <= now), key=lambda row: (row.due, row.number))

    def _hand_out(self, row: Row, lease: float) -> Delivery:
        if row.token is not None:
            row.lost += 1
        row.token, row.due = next(self._numbers), self.now + lease
        return Delivery(row.message.id, row.message.queue, row.message.body, row.attempt, row.lost, row.token)

    def _owned(self, delivery: Delivery) -> Row | None:
        row = self.rows.get((delivery.queue, delivery.id))
        if row is None or row.token != delivery.receipt:
            return None
        return row if self.honours_lapsed or row.due > self.now else None

    def _extend(self, delivery: Delivery, lease: float) -> bool:
        row = self._owned(delivery)
        if row is not None:
            row.due = self.now + lease
        return row is not None

    def _settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        row = self._owned(delivery)
        if row is None:
            return False
        match outcome:
            case Done() | Dead():
                del self.rows[delivery.queue, delivery.id]
                if isinstance(outcome, Dead):
                    self._bury(row, outcome)
            case Again(delay, counted):
                row.attempt, row.lost = row.attempt + counted, 0
                self._release(row, delay)
            case Unstarted(delay):
                self._release(row, delay)
        return True

    def _release(self, row: Row, delay: float) -> None:
        row.token, row.due, row.number = None, self.now + delay, next(self._numbers)

    def _bury(self, row: Row, outcome: Dead) -> None:
        key = row.message.queue, row.message.id
        self.dead.pop(key, None)  # the newest goes to the end
        self.dead[key] = DeadLetter(
            row.message.id,
            row.message.queue,
            row.message.body,
            outcome.reason,
            outcome.error,
            outcome.detail,
            row.lost if outcome.reason == "lost" else row.attempt + row.lost,
            time.time(),
        )


def _end(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)

"""Queues in two tables of a MySQL or MariaDB database, by aiomysql.

Calls go through a small pool; who waits is woken by looking, see `mysql_watch.py`. What a row means is said in
`mysql_schema.py`, why the statements look as they do beside them. Every connection commits each statement by
itself (autocommit), unless a call says `start transaction`, which then ends in the same round trip; it reads
what is committed (READ COMMITTED), in UTC, and the server's clock is the only one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from ..errors import DriverError
from ..message import Again, DeadLetter, Delivery, Limits, Message, Outcome, QueueStats, Unstarted
from . import mysql_dead, mysql_schema, mysql_settle, mysql_tasks
from .base import untold
from .mysql_address import FORM, Address
from .mysql_link import Link
from .mysql_pool import MySQLPool
from .mysql_tables import Tables
from .mysql_watch import POLL, Watch
from .session import Session, SessionDriver
from .sql_options import Options
from .sql_pool import OTHERS

ROOM = 8 * 2**20
"""Bytes of one statement: half of the smallest default of max_allowed_packet, so that it passes within its timeout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session(Session):
    pool: MySQLPool
    watch: Watch


class MySQLDriver(SessionDriver[_Session]):
    """Messages in the database of `dsn` (mysql://user:password@host:3306/database).

    queue_table, dead_letter_table  their names, as `name` or `schema.name`
    min_pool_size                   connections opened at once
    max_pool_size                   connections at most
    timeout                         seconds until a call is given up; the server gives up a little sooner

    The DSN may also say ssl_mode, ssl_ca, ssl_cert, ssl_key and unix_socket. Raises ConfigurationError for what is
    out of range.
    """

    # body: in hexadecimal digits it is twice as long, and InnoDB wants a tenth of its log to be longer than that.
    limits = Limits(batch=1000, body=4 * 2**20 - 2048, poll=POLL, claim_ahead=True)

    def __init__(
        self,
        dsn: str,
        *,
        queue_table: str = "task_queue",
        dead_letter_table: str = "dead_letter_queue",
        min_pool_size: int | str = 1,
        max_pool_size: int | str = 10,
        timeout: float | str = 20.0,
    ) -> None:
        url = FORM.read(dsn)
        given = {"queue_table": queue_table, "dead_letter_table": dead_letter_table, "timeout": timeout}
        given |= {"min_pool_size": min_pool_size, "max_pool_size": max_pool_size}
        options = Options.of({**given, **url.options})
        self._link = Link(Address.of(url), options.timeout)
        self._tables = Tables(options.queue_table, options.dead_letter_table)
        self._sizes = options.min_pool_size, options.max_pool_size

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The driver for a DSN that may also hold our options. Raises ConfigurationError for a value out of range."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._link.address.where!r}, queue_table={self._tables.names[0]!r})"

    async def _open(self) -> _Session:
        least, most = self._sizes
        pool = MySQLPool(self._link, most)
        await pool.start(least)

        # A call that is cut off halfway is rolled back, except that of one statement.
        self.limits = replace(self.limits, keeps_sent=max(0, most - OTHERS) if self._link.returning else 0)

        async def look(queues: Sequence[str]) -> dict[str, float]:
            return await pool.ask(partial(mysql_tasks.due, tables=self._tables, queues=queues))

        return _Session(pool=pool, watch=Watch((self._link.address.where, self._tables.tasks), look))

    async def _close(self, session: _Session) -> None:
        await session.watch.close()
        await session.pool.close()

    @property
    def _pool(self) -> MySQLPool:
        return self._here().pool

    async def setup(self) -> None:
        """Make or migrate the tables. Raises `ConfigurationError` if a newer asyncdq has migrated them."""
        if await self.pending():
            await self._pool.call(mysql_schema.migrate, self._tables, self._link.timeout / 2)

    async def pending(self) -> list[str]:
        """The statements that `setup` would run now."""
        return await self._pool.call(mysql_schema.pending, self._tables)

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """All or none are stored, unless their bodies are too large for one statement."""
        if not messages:
            return []
        session = self._here()
        for message in messages:
            mysql_tasks.check_size(message, self._link.packet)
        return await session.pool.calls.run(self._enqueue(session, messages))

    async def _enqueue(self, session: _Session, messages: Sequence[Message]) -> list[Message]:
        known: list[Message] = []
        stored: list[Message] = []
        try:
            async with session.pool.in_turn:
                for part in mysql_tasks.parts(messages, min(ROOM, self._link.packet // 2)):
                    known += await session.pool.ask(partial(mysql_tasks.enqueue, tables=self._tables, messages=part))
                    stored += part
        except DriverError as error:
            error.stored = tuple(stored)
            raise
        finally:
            session.watch.announce(_soonest((message.queue, message.delay) for message in stored))
        return known

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """One round trip for all queues."""
        if limit < 1 or not queues:
            self._here()
            return []
        return await self._pool.call(mysql_tasks.claim, self._tables, queues, limit, lease)

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when one of `queues` may have something ready, or after `timeout` seconds."""
        await self._here().watch.wait(queues, timeout)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """One round trip for all outcomes, unless their texts are too long for it."""
        return await self.settle_telling(outcomes, untold)

    async def settle_telling(
        self, outcomes: Sequence[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        """`settle`; MariaDB carries out successes that it was sent, though its client hangs up."""
        session = self._here()
        return await session.pool.calls.run(self._settle(session, outcomes, sent)) if outcomes else []

    async def _settle(
        self, session: _Session, outcomes: Sequence[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        lost: list[Delivery] = []
        verb = partial(mysql_settle.settle, tables=self._tables, returning=self._link.returning)
        parts = list(mysql_settle.parts(outcomes, min(ROOM, self._link.packet // 2)))
        for part in parts:
            lost += await session.pool.ask(partial(verb, outcomes=part, sent=sent if part is parts[-1] else untold))
        returned = ((each.queue, what.delay) for each, what in outcomes if isinstance(what, (Again, Unstarted)))
        session.watch.announce(_soonest(returned))
        return lost

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """One round trip for all leases."""
        return await self._pool.call(mysql_tasks.extend, self._tables, deliveries, lease) if deliveries else []

    async def queues(self) -> list[str]:
        """The names of all queues that hold anything, sorted."""
        return await self._pool.call(mysql_dead.names, self._tables)

    async def stats(self, queue: str) -> QueueStats:
        """A lease that has ended counts as ready."""
        return await self._pool.call(mysql_dead.stats, self._tables, queue)

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed, except what a lease that has ended still names."""
        newest = await self._pool.call(mysql_tasks.newest, self._tables)
        deleted = 0
        while some := await self._pool.call(mysql_tasks.purge, self._tables, queue, newest):
            deleted += some
        return deleted

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first; from the first if `after` is unknown."""
        return await self._pool.call(mysql_dead.letters, self._tables, queue, limit, after)

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None."""
        return await self._pool.call(mysql_dead.letter, self._tables, queue, id)

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One round trip for all ids."""
        watch = self._here().watch
        moved = await self._pool.call(mysql_dead.requeue, self._tables, queue, ids)
        if moved:
            watch.announce({queue: 0.0})
        return moved

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One round trip for all ids."""
        return await self._pool.call(mysql_dead.delete, self._tables, queue, ids)


def _soonest(delays: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The smallest delay of each queue."""
    soonest: dict[str, float] = {}
    for queue, delay in delays:
        soonest[queue] = min(delay, soonest.get(queue, delay))
    return soonest

"""Queues in two tables of a PostgreSQL database, by asyncpg.

Calls go through a small pool; one more connection listens and looks for those who wait, see
`postgres_watch.py`. What a row means is said in `postgres_schema.py`, why the statements look as they do in
their `.sql` files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

from ..errors import ConfigurationError, DriverError
from ..message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats
from . import postgres_dead, postgres_schema, postgres_tasks
from .base import untold
from .postgres_address import FORM, Address
from .postgres_floor import Floor
from .postgres_link import Connection, Link
from .postgres_pool import PostgresPool
from .postgres_prepared import Prepared
from .postgres_tables import Tables
from .postgres_watch import POLL, Watch
from .session import Session, SessionDriver
from .sql_options import Options
from .sql_pool import OTHERS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session(Session):
    pool: PostgresPool
    watch: Watch
    floor: Floor = field(default_factory=Floor)
    prepared: Prepared = field(default_factory=Prepared)


class PostgresDriver(SessionDriver[_Session]):
    """Messages in the database of `dsn` (postgresql://user:password@host:5432/database).

    queue_table, dead_letter_table  their names, as `name` or `schema.name`
    min_pool_size                   connections opened at once
    max_pool_size                   connections at most, not counting the one that listens
    timeout                         seconds until a call is given up; the server gives up a little sooner
    pooler                          whether PgBouncer or the like stands between; None: find out

    Raises ConfigurationError for what is out of range.
    """

    # body: a claim may bring home hundreds of them, through the memory of server and worker.
    limits = Limits(batch=1000, body=16 * 2**20, poll=POLL, claim_ahead=True)

    def __init__(
        self,
        dsn: str,
        *,
        queue_table: str = "task_queue",
        dead_letter_table: str = "dead_letter_queue",
        min_pool_size: int | str = 1,
        max_pool_size: int | str = 10,
        timeout: float | str = 20.0,
        pooler: bool | None = None,
    ) -> None:
        url = FORM.read(dsn)
        given = {"queue_table": queue_table, "dead_letter_table": dead_letter_table, "timeout": timeout}
        given |= {"min_pool_size": min_pool_size, "max_pool_size": max_pool_size}
        options = Options.of({**given, **url.options})
        pooler = _pooler(url.options["pooler"]) if "pooler" in url.options else pooler
        self._link = Link(Address.of(url), options.timeout, pooler)
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
        pool = PostgresPool(self._link, most)
        await pool.start(least)
        self.limits = replace(self.limits, keeps_sent=max(0, most - OTHERS) if self._link.pooled is False else 0)
        watch = Watch(self._link, self._tables.channel, partial(_due, self._tables))
        return _Session(pool=pool, watch=watch)

    async def _close(self, session: _Session) -> None:
        await session.watch.close()
        await session.pool.close()

    @property
    def _pool(self) -> PostgresPool:
        return self._here().pool

    async def setup(self) -> None:
        """Make or migrate the tables. Raises `ConfigurationError` if a newer asyncdq has migrated them."""
        if await self.pending():
            await self._pool.call(postgres_schema.migrate, self._tables)

    async def pending(self) -> list[str]:
        """The statements that `setup` would run now."""
        return await self._pool.call(postgres_schema.pending, self._tables)

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """All or none are stored, unless their bodies are too large for one statement."""
        if not messages:
            return []
        pool = self._here().pool
        return await pool.calls.run(self._enqueue(pool, messages))

    async def _enqueue(self, pool: PostgresPool, messages: Sequence[Message]) -> list[Message]:
        known: list[Message] = []
        stored: list[Message] = []
        try:
            async with pool.in_turn:
                for part in postgres_tasks.parts(messages):
                    known += await pool.ask(partial(postgres_tasks.enqueue, tables=self._tables, messages=part))
                    stored += part
        except DriverError as error:
            error.stored = tuple(stored)
            raise
        return known

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """One statement for all queues."""
        if limit < 1 or not queues:
            self._here()
            return []
        return await self._pool.call(postgres_tasks.claim, self._tables, self._here().floor, queues, limit, lease)

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when one of `queues` may have something ready, or after `timeout` seconds."""
        await self._here().watch.wait(queues, timeout)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """One statement for all outcomes."""
        return await self.settle_telling(outcomes, untold)

    async def settle_telling(
        self, outcomes: Sequence[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        """`settle`; the server carries out a statement that it has, though its client hangs up."""
        if not outcomes:
            return []
        here = self._here()
        if self._link.pooled:  # each statement is prepared anew, and leaves a trip later
            sent = untold
        return await here.pool.call(postgres_tasks.settle, self._tables, here.floor, here.prepared, outcomes, sent)

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """One statement for all leases."""
        return await self._pool.call(postgres_tasks.extend, self._tables, deliveries, lease) if deliveries else []

    async def queues(self) -> list[str]:
        """The names of all queues that hold anything, sorted."""
        return await self._pool.call(postgres_dead.names, self._tables)

    async def stats(self, queue: str) -> QueueStats:
        """A lease that has ended counts as ready."""
        return await self._pool.call(postgres_dead.stats, self._tables, queue)

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed, except what a lease that has ended still names."""
        newest = await self._pool.call(postgres_tasks.newest, self._tables, queue)
        deleted = 0
        while some := await self._pool.call(postgres_tasks.purge, self._tables, queue, newest):
            deleted += some
        return deleted

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first; from the first if `after` is unknown."""
        return await self._pool.call(postgres_dead.letters, self._tables, queue, limit, after)

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None."""
        return await self._pool.call(postgres_dead.letter, self._tables, queue, id)

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One statement for all ids."""
        return await self._pool.call(postgres_dead.requeue, self._tables, queue, ids)

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One statement for all ids."""
        return await self._pool.call(postgres_dead.delete, self._tables, queue, ids)


async def _due(tables: Tables, connection: Connection, queues: Sequence[str]) -> tuple[dict[str, float], bool]:
    return await postgres_tasks.due(connection, tables, queues)


def _pooler(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigurationError("pooler is true or false")
    return text.lower() == "true"

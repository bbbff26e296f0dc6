"""Queues in two tables of a PostgreSQL database, by asyncpg.

Calls go through a small pool; one more connection listens and looks for those who wait, see
`postgres_watch.py`. What a row means is said in `postgres_schema.py`, why the statements look as they do in
their `.sql` files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from urllib.parse import parse_qsl, urlencode

from ..errors import ConfigurationError, DriverError
from ..message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats
from . import postgres_dead, postgres_schema, postgres_tasks
from .base import BaseDriver
from .postgres_link import Address, Connection, Link
from .postgres_pool import Pool
from .postgres_tables import Tables
from .postgres_watch import POLL, Watch

P = ParamSpec("P")
T = TypeVar("T")

_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "queue_table": str,
    "dead_letter_table": str,
    "min_pool_size": int,
    "max_pool_size": int,
    "timeout": float,
    "pooler": lambda text: {"true": True, "false": False}[text.lower()],
}
"""The keys of a URL that are ours; all others are the server's or asyncpg's, as sslmode is."""

_of_parents: list[_Session] = []
"""Sessions that a forked child found here. Kept: asyncpg would end them, and with them the parent's."""


@dataclass(frozen=True, slots=True)
class _Session:
    """What exists between `connect` and `disconnect`, and to whom it belongs."""

    loop: asyncio.AbstractEventLoop
    process: int
    pool: Pool
    watch: Watch


class PostgresDriver(BaseDriver):
    """Messages in the database of `dsn` (postgresql://user:password@host:5432/database).

    queue_table, dead_letter_table  their names, as `name` or `schema.name`
    min_pool_size                   connections opened at once
    max_pool_size                   connections at most, not counting the one that listens
    timeout                         seconds until a call is given up; the server gives up a little sooner
    pooler                          whether PgBouncer or the like stands between; None: find out

    Raises ConfigurationError for what is out of range.
    """

    # body: a claim may bring home a hundred of them, through the memory of server and worker.
    limits = Limits(batch=1000, body=16 * 2**20, poll=POLL, claim_ahead=True)

    def __init__(
        self,
        dsn: str,
        *,
        queue_table: str = "task_queue",
        dead_letter_table: str = "dead_letter_queue",
        min_pool_size: int = 1,
        max_pool_size: int = 10,
        timeout: float = 20.0,
        pooler: bool | None = None,
    ) -> None:
        if not 1 <= min_pool_size <= max_pool_size:
            raise ConfigurationError(
                f"the pool's sizes are {min_pool_size} to {max_pool_size}: use 1 <= min_pool_size <= max_pool_size"
            )
        if not 0.1 <= timeout <= 3600:
            raise ConfigurationError(f"timeout={timeout!r}: use 0.1 to 3600 seconds")
        self._link = Link(Address.of(dsn), timeout, pooler)
        self._tables = Tables(queue_table, dead_letter_table)
        self._sizes = min_pool_size, max_pool_size
        self._session: _Session | None = None

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The driver for a DSN that may also hold our options. Raises ConfigurationError for a value out of range."""
        location, _, query = url.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        for key, text in pairs:
            if key in _OPTIONS:
                try:
                    options[key] = _OPTIONS[key](text)
                except (ValueError, KeyError):
                    raise ConfigurationError(f"{text!r} is no value for {key} in a postgresql:// URL") from None
        theirs = urlencode([(key, text) for key, text in pairs if key not in _OPTIONS])
        return cls(f"{location}?{theirs}" if theirs else location, **options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._link.address.where!r}, queue_table={self._tables.names[0]!r})"

    @property
    def connected(self) -> bool:
        """Whether `connect` has succeeded and `disconnect` has not been called since."""
        return self._session is not None

    async def connect(self) -> None:
        """Open the first connections. Raises `ConfigurationError` for what waiting does not mend."""
        if self._session is not None:
            self._here()
            return
        least, most = self._sizes
        pool = Pool(self._link, most)
        await pool.start(least)
        watch = Watch(self._link, self._tables.channel, partial(_due, self._tables))
        self._session = _Session(asyncio.get_running_loop(), os.getpid(), pool, watch)

    async def disconnect(self) -> None:
        """Finish the calls under way and close all connections."""
        session, self._session = self._session, None
        if session is None:
            return
        if session.process != os.getpid():
            _of_parents.append(session)
        elif session.loop is asyncio.get_running_loop():
            await session.watch.close()
            await session.pool.close()
        else:
            raise DriverError(f"{self} was connected in another event loop: disconnect it there")

    async def setup(self) -> None:
        """Make or migrate the tables. Raises `ConfigurationError` if a newer asyncdq has migrated them."""
        if await self.pending():
            await self._call(postgres_schema.migrate)

    async def pending(self) -> list[str]:
        """The statements that `setup` would run now."""
        return await self._call(postgres_schema.pending)

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """All or none are stored, unless their bodies are too large for one statement."""
        if not messages:
            return []
        pool = self._here().pool
        return await pool.finish(self._enqueue(pool, messages))

    async def _enqueue(self, pool: Pool, messages: Sequence[Message]) -> list[Message]:
        known: list[Message] = []
        stored: list[Message] = []
        try:
            async with pool.in_turn():
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
        return await self._call(postgres_tasks.claim, queues, limit, lease)

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when one of `queues` may have something ready, or after `timeout` seconds."""
        await self._here().watch.wait(queues, timeout)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """One statement for all outcomes."""
        return await self._call(postgres_tasks.settle, outcomes) if outcomes else []

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """One statement for all leases."""
        return await self._call(postgres_tasks.extend, deliveries, lease) if deliveries else []

    async def queues(self) -> list[str]:
        """The names of all queues that hold anything, sorted."""
        return await self._call(postgres_dead.names)

    async def stats(self, queue: str) -> QueueStats:
        """A lease that has ended counts as ready."""
        return await self._call(postgres_dead.stats, queue)

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed, except what a lease that has ended still names."""
        newest = await self._call(postgres_tasks.newest, queue)
        deleted = 0
        while some := await self._call(postgres_tasks.purge, queue, newest):
            deleted += some
        return deleted

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first; from the first if `after` is unknown."""
        return await self._call(postgres_dead.letters, queue, limit, after)

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None."""
        return await self._call(postgres_dead.letter, queue, id)

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One statement for all ids."""
        return await self._call(postgres_dead.requeue, queue, ids)

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One statement for all ids."""
        return await self._call(postgres_dead.delete, queue, ids)

    async def _call(
        self,
        verb: Callable[Concatenate[Connection, Tables, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """What the verb returns; it runs to its end, whatever happens to the caller."""
        pool = self._here().pool

        def question(connection: Connection) -> Awaitable[T]:
            return verb(connection, self._tables, *args, **kwargs)

        return await pool.finish(pool.ask(question))

    def _here(self) -> _Session:
        """The session, if this process and this event loop opened it."""
        session = self._session
        if session is None:
            raise DriverError(f"{self} is not connected: use `async with driver:` or await driver.connect()")
        if session.process != os.getpid():
            raise DriverError(f"{self} was connected before this process was forked: make a driver of its own here")
        if session.loop is not asyncio.get_running_loop():
            raise DriverError(f"{self} was connected in another event loop: make a driver for each loop")
        return session


async def _due(tables: Tables, connection: Connection, queues: Sequence[str]) -> dict[str, float]:
    return await postgres_tasks.due(connection, tables, queues)

"""A queue in one SQLite file: no server, several processes on one machine.

Two threads serve a connected driver: one writes, one reads, so that counting a long queue does not
hold up a claim. A database in memory has one connection, which does both. What is brief, the event loop
does itself while the thread is idle (`Lane.submit`).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote

from ..errors import ConfigurationError
from ..message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats
from ..url import Form
from . import sqlite_dead, sqlite_schema, sqlite_tasks
from .session import Session, SessionDriver
from .sqlite_file import DatabaseFile
from .sqlite_lane import Lane
from .sqlite_wakes import POLL, Wakes
from .waiters import announced

T = TypeVar("T")

FORM = Form("sqlite", "an SQLite", "sqlite:///var/lib/asyncdq.db", ("synchronous",), users=False)

_BRIEF = 400
_BRIEF_BYTES = 64 * 2**10
"""Messages in a call, and bytes of their bodies, that the event loop may do itself, in some milliseconds."""

_PART = 10_000
"""Messages that are purged in one transaction: so emptying a long queue holds nobody up for more than a moment."""

_SYNCHRONOUS = ("off", "normal", "full", "extra")
_WAITS_FOR_THE_DISK = ("full", "extra")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session(Session):
    writer: Lane
    reader: Lane
    wakes: Wakes


class SQLiteDriver(SessionDriver[_Session]):
    """Messages in the file `path`; `:memory:` keeps them in this driver alone.

    With `synchronous="normal"` a power failure may undo the last commits, a crash of the program never
    does; "full" waits for the disk on each commit. Raises `ConfigurationError` for an unknown value.
    """

    limits = Limits(batch=1000, body=16 * 2**20, poll=POLL, claim_ahead=False)

    def __init__(self, path: str | Path, *, synchronous: str = "normal") -> None:
        if synchronous not in _SYNCHRONOUS:
            raise ConfigurationError(f"synchronous of an SQLite database is one of {', '.join(_SYNCHRONOUS)}")
        if not str(path) or "\0" in str(path):
            raise ConfigurationError("the path of an SQLite database must not be empty or contain NUL")
        self.path = None if str(path) == ":memory:" else Path(os.path.realpath(path))
        self._synchronous = synchronous
        self._claims_much = False  # bytes, the last time

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The driver for `sqlite://PATH?synchronous=...`. Raises `ConfigurationError` for any other key."""
        said = FORM.read(url)
        path = unquote(said.place)
        if not path.strip("/"):
            FORM.refuse("has a path of a file")
        return cls(":memory:" if path == "/:memory:" else path, **{**options, **said.options})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path or ':memory:')!r})"

    async def _open(self) -> _Session:
        database = DatabaseFile(self.path, self._synchronous)
        writer = Lane(database, writes=True)
        try:
            await writer.submit(sqlite_schema.version)
        except BaseException:
            await writer.close()
            raise
        reader = writer if self.path is None else Lane(database, writes=False)
        return _Session(writer=writer, reader=reader, wakes=Wakes(self.path))

    async def _close(self, session: _Session) -> None:
        session.wakes.close()
        await session.writer.close()  # tidies up the write-ahead log
        await session.reader.close()

    async def _abandon(self, session: _Session) -> None:
        if session.forked:
            session.wakes.close(forked=True)  # the threads, and what they hold, belong to the parent
        else:
            await self._close(session)  # they live without the loop

    async def setup(self) -> None:
        """Make or migrate the tables. Raises `ConfigurationError` if a newer asyncdq has migrated them."""
        if await self.pending():
            await self._here().writer.submit(sqlite_schema.migrate)

    async def pending(self) -> list[str]:
        """The statements that `setup` would run now."""
        return await self._here().reader.submit(sqlite_schema.pending)

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """All or none are stored."""
        if not messages:
            return []
        brief = self._brief(len(messages)) and sum(len(each.body) for each in messages) <= _BRIEF_BYTES
        return await self._write(partial(sqlite_tasks.enqueue, messages=messages), brief)

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """One transaction for all queues."""
        work = partial(sqlite_tasks.claim, queues=queues, limit=limit, lease=lease)
        claimed = await self._here().writer.submit(work, brief=self._brief(limit) and not self._claims_much)
        self._claims_much = sum(len(each.body) for each in claimed) > _BRIEF_BYTES
        return claimed

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when one of `queues` may have something ready, or after `timeout` seconds.

        Looks into the database after it has begun to listen, so nothing is lost that came before.
        """
        session = self._here()
        deadline = session.loop.time() + timeout
        while (left := deadline - session.loop.time()) > 0:
            if self._session is not session or await self._announced(session, queues, left):
                return  # a driver that was disconnected binds no socket any more

    async def _announced(self, session: _Session, queues: Sequence[str], left: float) -> bool:
        """True if one of `queues` may have something ready; False if it is time to look again."""
        with session.wakes.waiting(queues) as woken:
            pause = await self._pause(session, queues, woken, left)
            return pause <= 0 or await announced(woken, pause)

    async def _pause(self, session: _Session, queues: Sequence[str], woken: asyncio.Future[bool], left: float) -> float:
        """How long nothing will be due by itself, as far as the database knows, but not longer than `left`."""
        look = session.reader.submit(partial(sqlite_tasks.seconds_until_due, queues=queues), brief=True)
        futures: list[asyncio.Future[Any]] = [look, woken]
        try:
            # Not awaited alone: a long read that is under way must not delay the wake.
            if not look.done():
                await asyncio.wait(futures, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            pause = min(look.result(), session.wakes.look_again, left) if look.done() else 0.0
            if pause > 0:
                session.writer.rest()
            return pause
        finally:
            look.cancel()

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """One transaction for all outcomes."""
        if not outcomes:
            return []
        return await self._write(partial(sqlite_tasks.settle, outcomes=outcomes), self._brief(len(outcomes)))

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """One transaction for all leases."""
        if not deliveries:
            return []
        work = partial(sqlite_tasks.extend, deliveries=deliveries, lease=lease)
        return await self._here().writer.submit(work, brief=self._brief(len(deliveries)))

    async def queues(self) -> list[str]:
        """The names of all queues that hold anything, sorted."""
        return await self._here().reader.submit(sqlite_dead.names)

    async def stats(self, queue: str) -> QueueStats:
        """A lease that has ended counts as ready."""
        return await self._here().reader.submit(partial(sqlite_dead.stats, queue=queue))

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed, except what a lease that has ended still names."""
        waiting = await self._here().reader.submit(partial(sqlite_tasks.waiting, queue=queue))
        deleted, part = 0, _PART
        # Counted before: with producers that go on, a queue that one waits to see empty might never be.
        while part == _PART and deleted < waiting:
            part = await self._here().writer.submit(partial(sqlite_tasks.purge, queue=queue, most=_PART))
            deleted += part
        return deleted

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first; from the first if `after` is unknown."""
        return await self._here().reader.submit(partial(sqlite_dead.letters, queue=queue, limit=limit, after=after))

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None."""
        return await self._here().reader.submit(partial(sqlite_dead.letter, queue=queue, id=id))

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One transaction for all ids."""
        return await self._write(partial(sqlite_dead.requeue, queue=queue, ids=ids))

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One transaction for all ids."""
        return await self._here().writer.submit(partial(sqlite_dead.delete, queue=queue, ids=ids))

    async def _write(self, work: Callable[[sqlite3.Connection], tuple[T, list[str]]], brief: bool = False) -> T:
        """Run a job that returns its result and the queues to announce; those are announced in any case."""
        session = self._here()
        result, _ = await session.writer.submit(work, lambda done: session.wakes.announce(done[1]), brief=brief)
        return result

    def _brief(self, messages: int) -> bool:
        return messages <= _BRIEF and self._synchronous not in _WAITS_FOR_THE_DISK

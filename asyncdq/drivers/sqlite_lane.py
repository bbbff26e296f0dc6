"""A thread with a database connection of its own, and the jobs that it runs.

Why a thread of our own: what piles up while one transaction commits goes into the next one together.
With 100 producers that enqueue one message each this made 87,000 per second; a thread pool of one
made 15,000, and aiosqlite, with three hops between threads per transaction, 6,000. All futures of a
batch are resolved by one call into the loop, for the same reason.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from ..errors import AsyncdqError
from .sqlite_file import DatabaseFile

T = TypeVar("T")

_BATCH = 500
"""Jobs in one transaction: more would only let the first of them wait for the last."""


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    then: Callable[[Any], None] | None
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def resolve(self) -> None:
        if self.error is None and self.then is not None:
            self.then(self.result)
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)
            self.future.exception()  # seen: who stopped waiting for it wants no log line about it


class Lane:
    """Runs jobs one after the other on one connection, in transactions; owned by the loop that made it."""

    def __init__(self, database: DatabaseFile, begin: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = _LaneThread(database, begin, self._jobs, self._loop)
        self._thread.start()
        # A driver that is dropped without `disconnect` does not keep its thread and its file open.
        weakref.finalize(self, self._jobs.put, None).atexit = False

    def submit(
        self, work: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """The result of `work(connection)`, once its transaction is committed; `then(result)` comes before it.

        Both happen also if the future is cancelled: the job has begun.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, then, future))
        return future

    async def close(self) -> None:
        """Finish what was submitted, then close the connection. May be called from any loop."""
        self._jobs.put(None)
        # Not by asyncio.to_thread: while the interpreter exits there are no new threads to join this one in.
        await asyncio.shield(asyncio.wrap_future(self._thread.ended))
        self._thread.join()


class _LaneThread(threading.Thread):
    """The other side of a lane. A daemon: a program that forgets to disconnect still exits."""

    def __init__(
        self, database: DatabaseFile, begin: str, jobs: SimpleQueue[_Job | None], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(name="asyncdq-sqlite", daemon=True)
        self._database = database
        self._begin = begin
        self._jobs = jobs
        self._loop = loop
        self.ended: Future[None] = Future()

    def run(self) -> None:
        try:
            self._work()
        finally:
            self.ended.set_result(None)

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        last = False
        while not last:
            batch, last = self._next_batch()
            try:
                connection = self._current(connection)
                self._commit(connection, batch)
            except Exception as error:  # whatever it is, it belongs to those who wait for it
                self._fail(batch, error)
                connection = self._drop(connection)
            self._answer(batch)
            del batch  # holds the results, while this thread may sleep for hours
        if connection is not None:
            _checkpoint(connection)
            connection.close()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """What is there, at least one job or the request to end."""
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _BATCH or self._jobs.empty():
                return batch, False
            job = self._jobs.get()
        return batch, True

    def _current(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is not None and self._database.replaced():
            connection = self._drop(connection)
        return connection or self._database.open()

    def _drop(self, connection: sqlite3.Connection | None) -> sqlite3.Connection | None:
        """Close it, so that the next batch opens another; a database in memory lives as long as its connection."""
        if connection is None:
            return None
        if self._database.path is None:
            with suppress(sqlite3.Error):
                connection.rollback()
            return connection
        connection.close()
        return None

    def _commit(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        if not batch:
            return
        connection.execute(self._begin)
        if len(batch) == 1:
            batch[0].result = batch[0].work(connection)
        else:
            for job in batch:
                self._perform(connection, job)
        connection.execute("commit")

    def _perform(self, connection: sqlite3.Connection, job: _Job) -> None:
        """Run one job of several: its failure is undone and its own, unless it ended the whole transaction."""
        connection.execute("savepoint job")
        try:
            job.result = job.work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise
            connection.execute("rollback to job")
            job.error = self._database.explain(error)
        connection.execute("release job")

    def _fail(self, batch: list[_Job], error: Exception) -> None:
        explained = self._database.explain(error)
        for job in batch:
            # One exception object per caller: raising a shared one would mix their tracebacks.
            job.error = job.error or _again(explained, error)

    def _answer(self, batch: list[_Job]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_resolve, batch)


def _again(error: AsyncdqError, cause: Exception) -> AsyncdqError:
    copy = type(error)(str(error))
    copy.__cause__ = None if cause is error else cause
    return copy


def _resolve(batch: list[_Job]) -> None:
    for job in batch:
        job.resolve()


def _checkpoint(connection: sqlite3.Connection) -> None:
    # Without waiting: if others use the database, the log is theirs to tidy up.
    with suppress(sqlite3.Error):
        connection.execute("pragma busy_timeout = 0")
        connection.execute("pragma wal_checkpoint(truncate)")

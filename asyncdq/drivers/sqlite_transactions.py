"""A connection to the database, and the transactions on it: with all patience, or at once or not at all.

Used by one thread at a time; which one that is, its lane says.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import AsyncdqError
from .sqlite_file import BUSY_TIMEOUT, DatabaseFile

_CHECKPOINT = 1000
"""Pages of the write-ahead log after which a patient transaction copies it into the database: SQLite's default."""

_SLOW = 0.01
"""Seconds: a transaction at once that took longer means a slow disk, a large message, or threads that compute."""

_SLOWEST = 1.0
"""Seconds: what took longer was stopped in the middle, and says nothing of the next one."""

_REST = 100
"""How many times the length of a slow one no other is done at once: who does them loses 1 % of its time at most."""

Work = Callable[[sqlite3.Connection], Any]


@dataclass(slots=True)
class Job:
    """Work for a transaction, and who waits for it. Without work, it asks that the log be looked after."""

    work: Work | None
    then: Callable[[Any], None] | None
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None
    over: bool = False

    def resolve(self) -> None:
        """Tell who waits. In the thread of their event loop."""
        result, self.result, self.over = self.result, None, True
        if self.error is None and self.then is not None:
            self.then(result)
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(self.error)
            self.future.exception()  # seen: who stopped waiting for it wants no log line about it


class Transactions:
    """Runs jobs in transactions. Opens its connection when it is needed, and again if it broke."""

    def __init__(self, database: DatabaseFile, writes: bool) -> None:
        self._database = database
        self._begin = "begin immediate" if writes else "begin"
        self._logs = writes and database.path is not None
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # that it is a connection to; the path may name another one since
        self.untidied = 0  # transactions at once that have written since the log was looked after
        self._patient: bool | None = True  # None: unknown
        self._rests_until = 0.0

    def run(self, batch: Sequence[Job]) -> None:
        """All of them in one transaction, once whoever holds the write lock has let go of it; no error is raised."""
        try:
            connection = self._current()
            self._be_patient(connection, True)
            jobs = [(job, job.work) for job in batch if job.work is not None]
            self._commit(connection, jobs)
            if len(jobs) < len(batch):
                self._tidy(connection)
        except Exception as error:  # whatever it is, it belongs to those who wait for it
            self._fail(batch, error)
            self._drop()

    def run_at_once(self, job: Job) -> bool:
        """Whether it is done. If not, nothing has happened: `run` will do it, or say what is wrong.

        It waits for no lock. Unless each commit does (`synchronous`), it waits for the disk only where the log was
        copied and not begun anew: `_tidy` does both, but a checkpoint of another process does not.
        """
        connection, began = self._connection, time.monotonic()
        if job.work is None or connection is None or began < self._rests_until or self._replaced():
            return False
        try:
            self._be_patient(connection, False)
            connection.execute(self._begin)
            result = job.work(connection)
            connection.execute("commit")
        except BaseException as error:
            self._undo(connection)
            if isinstance(error, Exception):
                return False
            raise
        finally:
            if (took := time.monotonic() - began) > _SLOW:
                self._rests_until = began + min(took, _SLOWEST) * _REST
        self.untidied += self._logs
        job.result = result
        return True

    def close(self) -> None:
        """Tidy up the write-ahead log and close the connection."""
        if self._connection is not None:
            _cut(self._connection)
            self._connection.close()
            self._connection = None

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and self._replaced():
            self._drop()
        if self._connection is None:
            before = self._database.identity()  # if it is replaced meanwhile, the next one to ask opens the other
            self._connection = self._database.open()
            self._file = before or self._database.identity()
            self._patient = True
        return self._connection

    def _replaced(self) -> bool:
        """Whether the path names another file, or none: what we would write to the open one is lost."""
        return self._database.path is not None and (self._file is None or self._database.identity() != self._file)

    def _be_patient(self, connection: sqlite3.Connection, patient: bool) -> None:
        if self._patient != patient:
            self._patient = None
            connection.execute(f"pragma busy_timeout = {BUSY_TIMEOUT * 1000 if patient else 0:.0f}")
            connection.execute(f"pragma wal_autocheckpoint = {_CHECKPOINT if patient else 0}")
            self._patient = patient

    def _undo(self, connection: sqlite3.Connection) -> None:
        try:
            connection.rollback()
        except sqlite3.Error:
            self._drop()

    def _drop(self) -> None:
        """Close it, so that the next batch opens another; a database in memory lives as long as its connection."""
        if self._connection is None:
            return
        if self._database.path is None:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            return
        self._connection.close()
        self._connection = None

    def _commit(self, connection: sqlite3.Connection, jobs: Sequence[tuple[Job, Work]]) -> None:
        if not jobs:
            return
        connection.execute(self._begin)
        if len(jobs) == 1:
            job, work = jobs[0]
            job.result = work(connection)
        else:
            for job, work in jobs:
                self._perform(connection, job, work)
        connection.execute("commit")

    def _perform(self, connection: sqlite3.Connection, job: Job, work: Work) -> None:
        """Run one job of several: its failure is undone and its own, unless it ended the whole transaction."""
        connection.execute("savepoint job")
        try:
            job.result = work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise
            connection.execute("rollback to job")
            job.error = self._database.explain(error)
        connection.execute("release job")

    def _tidy(self, connection: sqlite3.Connection) -> None:
        """Copy the log into the database, and begin it anew: both wait for the disk, so that who writes next need not.

        It is begun with a change that is undone: one that changes nothing would not be written.
        """
        self.untidied = 0
        try:
            connection.execute("pragma wal_checkpoint(passive)")
            connection.execute(self._begin)
            connection.execute("update asyncdq_schema set version = version + 1")
            connection.execute("update asyncdq_schema set version = version - 1")
            connection.execute("commit")
        except sqlite3.Error:  # such as a lock that stays: whoever holds it tidies up, or we do later
            self._undo(connection)

    def _fail(self, batch: Sequence[Job], error: Exception) -> None:
        explained = self._database.explain(error)
        for job in batch:
            # One exception object per caller: raising a shared one would mix their tracebacks.
            job.error = job.error or _again(explained, error)


def _again(error: AsyncdqError, cause: Exception) -> AsyncdqError:
    copy = type(error)(str(error))
    copy.__cause__ = None if cause is error else cause
    return copy


def _cut(connection: sqlite3.Connection) -> None:
    # Without waiting: if others use the database, the log is theirs to tidy up.
    with suppress(sqlite3.Error):
        connection.execute("pragma busy_timeout = 0")
        connection.execute("pragma wal_checkpoint(truncate)")

"""The thread in which transactions run, and when the event loop runs one itself.

Why a thread of our own: what piles up while one transaction commits goes into the next one together.
With 100 producers that enqueue one message each this made 87,000 per second; a thread pool of one
made 15,000, and aiosqlite, with three hops between threads per transaction, 6,000. All futures of a
batch are resolved by one call into the loop, for the same reason.

Why not always in it: two wakes between threads cost more than a small transaction. While the thread has nothing
to do, the loop does a brief job itself, if that needs no waiting: single enqueues went from 4,300 to 10,500
per second, no-op tasks at concurrency 10 from 15,000 to 25,000.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

from .sqlite_file import DatabaseFile
from .sqlite_transactions import Job, Transactions

T = TypeVar("T")

_BATCH = 500
"""Jobs in one transaction: more would only let the first of them wait for the last."""

_TIDY_AT_REST = 300
_TIDY = 500
"""Transactions of the loop, some 1,000 pages of the log or more, after which the thread tidies up: those that come
meanwhile wait for the disk. If there is a quiet moment before, none does."""

_BREATH = 8
"""Of so many jobs that the loop does itself, one is answered in its next turn: who calls on and on lets others run."""


class Lane:
    """Runs jobs one after the other on one connection, in transactions; owned by the loop that made it."""

    def __init__(self, database: DatabaseFile, *, writes: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._transactions = Transactions(database, writes)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._last: Job | None = None  # of those given to the thread; when it is over, the thread touches nothing
        self._closed = False
        self._done_here = 0
        self._thread = _LaneThread(self._transactions, self._jobs, self._loop)
        self._thread.start()
        # A driver that is dropped without `disconnect` does not keep its thread and its file open.
        weakref.finalize(self, self._jobs.put, None).atexit = False

    def submit(
        self, work: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None = None, *, brief: bool = False
    ) -> asyncio.Future[T]:
        """The result of `work(connection)`, once its transaction is committed; `then(result)` comes before it.

        Both happen also if the future is cancelled: the job has begun. `brief` work takes some milliseconds at most
        and may be tried twice: the loop does it itself if it can.
        """
        job = Job(work, then, self._loop.create_future())
        if brief and self._idle() and self._transactions.run_at_once(job):
            self._done_here += 1
            if self._done_here % _BREATH:
                job.resolve()
            else:
                self._loop.call_soon(job.resolve)
            self._tidy_after(_TIDY)
        else:
            self._give_to_thread(job)
        return job.future

    def rest(self) -> None:
        """There is nothing to do: a good moment to look after the log."""
        self._tidy_after(_TIDY_AT_REST)

    async def close(self) -> None:
        """Finish what was submitted, then close the connection. May be called from any loop."""
        self._closed = True
        self._jobs.put(None)
        # Not by asyncio.to_thread: while the interpreter exits there are no new threads to join this one in.
        await asyncio.shield(asyncio.wrap_future(self._thread.ended))
        self._thread.join()

    def _tidy_after(self, transactions: int) -> None:
        if self._transactions.untidied >= transactions and self._idle():
            self._give_to_thread(Job(None, None, self._loop.create_future()))

    def _give_to_thread(self, job: Job) -> None:
        self._last = job
        self._jobs.put(job)

    def _idle(self) -> bool:
        return not self._closed and (self._last is None or self._last.over)


class _LaneThread(threading.Thread):
    """The other side of a lane. A daemon: a program that forgets to disconnect still exits."""

    def __init__(
        self, transactions: Transactions, jobs: SimpleQueue[Job | None], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(name="asyncdq-sqlite", daemon=True)
        self._transactions = transactions
        self._jobs = jobs
        self._loop = loop
        self.ended: Future[None] = Future()

    def run(self) -> None:
        try:
            self._work()
        finally:
            self.ended.set_result(None)

    def _work(self) -> None:
        last = False
        while not last:
            batch, last = self._next_batch()
            if batch:
                self._transactions.run(batch)
                self._answer(batch)
            del batch  # holds the results, while this thread may sleep for hours
        self._transactions.close()

    def _next_batch(self) -> tuple[list[Job], bool]:
        """What is there, at least one job or the request to end."""
        batch: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _BATCH or self._jobs.empty():
                return batch, False
            job = self._jobs.get()
        return batch, True

    def _answer(self, batch: list[Job]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_resolve, batch)


def _resolve(batch: list[Job]) -> None:
    for job in batch:
        job.resolve()

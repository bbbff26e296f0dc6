"""The process pool: one pipe per process, one job per process at a time.

A job that finds no idle process stands in line, and whatever process is free first takes it. Processes
are started for the line, as many as it is long, never for one job. So a job that leaves the line harms
no process, and a process that dies while it starts costs one job.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from ..context import Sender
from ..errors import ConfigurationError, ExecutionError, ProcessDied, SerializationError, TaskTimeout
from ..retry import decide, one_line
from .job import Job, Verdict
from .pipe import Frame, Inbox, Kind
from .process import PoolProcess


@dataclass(slots=True, eq=False)
class _Turn:
    """A job in line. `placed` is done when a process has begun it, or never will."""

    frame: Frame
    started: Callable[[], None]
    placed: asyncio.Future[tuple[PoolProcess, Inbox]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def take(self, child: PoolProcess) -> bool:
        """Begin it on this process, unless it is too late for that."""
        if self.placed.done():
            return False
        try:
            self.started()
        except asyncio.CancelledError:
            self.placed.cancel()
            return False
        except BaseException as error:  # a log handler of the user's may raise anything
            self.placed.set_exception(error)
            return False
        self.placed.set_result((child, child.take(self.frame)))
        return True


class ProcessPool:
    """Runs jobs in up to `size` processes; each is replaced after `max_tasks_per_child` jobs. Starts none yet.

    `sender` is through which the tasks enqueue, `start` starts a process. The pool belongs to the event loop that
    first uses it.
    """

    def __init__(
        self,
        size: int,
        *,
        max_tasks_per_child: int | None = None,
        sender: Sender | None = None,
        start: Callable[[], PoolProcess] = PoolProcess,
    ) -> None:
        if size < 0 or (max_tasks_per_child is not None and max_tasks_per_child < 1):
            raise ConfigurationError("a process pool needs a size of 0 or more, and tasks per child of 1 or more")
        self._size = size
        self._max_tasks = max_tasks_per_child
        self._sender = sender
        self._start = start
        self._children: set[PoolProcess] = set()  # all that are not gone
        self._idle: list[PoolProcess] = []
        self._line: deque[_Turn] = deque()
        self._closed = False

    @property
    def behind(self) -> bool:
        """Whether each process, when it becomes free, finds a job in line."""
        return len(self._line) >= self._size

    async def run(self, job: Job, *, timeout: float | None, started: Callable[[], None]) -> Verdict:
        """Run the job when its turn comes; `started` is called then, and `timeout` (seconds) begins.

        `started` is called by the event loop, in the moment in which a process is free. If it raises, the job is not
        run, and so does this: CancelledError says that it is too late for it.
        A job whose run is cancelled or timed out is ended with its process before this returns. Raises
        TaskTimeout, ProcessDied if the process ends by itself or cannot be started, SerializationError
        if the job cannot be written, and ExecutionError if the pool is closed.
        """
        child, inbox = await self._begin(_Turn(_frame_of(job), started))
        timer = asyncio.timeout(timeout)
        try:
            async with timer:
                reply = await child.reply(inbox, self._sender)
        except BaseException as error:
            await child.end(inbox)
            if isinstance(error, TimeoutError) and timer.expired():
                raise TaskTimeout(f"{job.current.name} was ended by its timeout of {timeout:g} s") from None
            if isinstance(error, EOFError):
                raise ProcessDied(f"the process that ran {job.current.name} {child.epitaph}") from None
            raise
        return _verdict(job, reply)

    async def close(self) -> None:
        """End all processes: idle ones by themselves, busy ones at once. May be called repeatedly."""
        self._closed = True
        while self._line:
            self._refuse_first(_closed())
        for child in self._children:
            if child in self._idle or child.leaving:
                child.leave()
            else:
                child.kill()
        self._idle.clear()
        if self._children:
            await asyncio.wait([child.gone for child in self._children])

    async def _begin(self, turn: _Turn) -> tuple[PoolProcess, Inbox]:
        if self._closed:
            raise _closed()
        if not self._size:
            raise ExecutionError("this worker has no process pool: start it with a process_pool_size of 1 or more")
        self._line.append(turn)
        while self._idle and not turn.placed.done():
            self._offer(self._idle.pop())  # the one that was used last: its memory is warm
        self._staff()
        try:
            return await turn.placed
        except asyncio.CancelledError:
            if turn in self._line:
                self._line.remove(turn)
            if turn.placed.done() and not turn.placed.cancelled() and turn.placed.exception() is None:
                child, inbox = turn.placed.result()  # begun in the very moment of the cancellation
                await child.end(inbox)
            raise

    def _staff(self) -> None:
        """Start processes for those in line, as far as there is room."""
        while self._needs_another():
            try:
                child = self._start()
            except Exception as error:  # the system's or multiprocessing's reason: the job that needs it hears it
                self._refuse_first(ProcessDied(f"no process could be started for this task: {one_line(error)}"))
                continue
            self._children.add(child)
            child.on_free = self._take_back
            child.gone.add_done_callback(partial(self._bury, child))
            child.booted = asyncio.get_running_loop().create_task(self._boot(child))

    def _needs_another(self) -> bool:
        staying = [child for child in self._children if not child.leaving]
        return len(staying) < self._size and sum(child.booting for child in staying) < len(self._line)

    async def _boot(self, child: PoolProcess) -> None:
        with suppress(EOFError):  # it died before it was ready: _bury tells the job that waits for it
            await child.boot()
            self._offer(child)

    def _offer(self, child: PoolProcess) -> None:
        while self._line and not child.leaving:
            if self._line.popleft().take(child):
                return
        if not child.leaving:
            self._idle.append(child)

    def _take_back(self, child: PoolProcess) -> None:
        child.jobs += 1
        if self._closed or child.jobs == self._max_tasks:
            child.leave()
            self._staff()
        else:
            self._offer(child)

    def _bury(self, child: PoolProcess, _: asyncio.Future[None]) -> None:
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if child.booting:
            self._refuse_first(
                ProcessDied(
                    f"a process for this task {child.epitaph} while it started; what it printed says why. "
                    "A script that runs a worker needs `if __name__ == '__main__':` around that call"
                )
            )
        self._staff()

    def _refuse_first(self, error: ExecutionError) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.placed.done():
                turn.placed.set_exception(error)
                return


def _closed() -> ExecutionError:
    return ExecutionError("the process pool is closed: it takes no more tasks")


def _frame_of(job: Job) -> Frame:
    try:
        return Frame(Kind.JOB, pickle.dumps(job))
    except Exception as error:  # user code: its __reduce__ may raise anything
        raise SerializationError(
            f"{job.current.name}: an argument or an error class of its retry policy cannot be sent to a process; "
            f"define its class at the level of a module: {one_line(error)}"
        ) from error


def _verdict(job: Job, reply: Frame) -> Verdict:
    content = reply.read()
    if reply.kind is Kind.UNREADABLE:
        return Verdict(decide(content, job.current.attempt, job.policy, job.roll), one_line(content))
    verdict: Verdict = content
    return verdict

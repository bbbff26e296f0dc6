"""The process pool: one pipe per process, one job per process at a time, and one that is ready.

A job that finds no idle process stands in line, and whatever process is free first takes it. Processes
are started for all that wait, as many as they are, never for one job. So a job that leaves the line harms
no process, and a process that dies while it starts costs one job.

While jobs are short, the next one is already in the pipe, since a process that has to be told sleeps until it is.
Until it begins it can be withdrawn (see grants.py): when its run is cancelled, when it has waited for too long, when
its process is to be ended for the job before it, or when another process is free. So a job that is ready is still in
line, only at one place.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ..context import Sender
from ..errors import ConfigurationError, ExecutionError, ProcessDied, TaskTimeout
from ..message import Unstarted
from ..retry import decide, one_line
from ..soon import start_soon
from .job import Job, Verdict
from .pipe import Frame, Inbox, Kind
from .process import PoolProcess
from .turn import Parked, Turn, frame_of


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
        self._line: deque[Turn] = deque()
        self._ready: dict[PoolProcess, Turn] = {}
        self._closed = False

    @property
    def behind(self) -> bool:
        """Whether each process, when it becomes free, finds a job in line."""
        return len(self._line) + len(self._ready) >= self._size

    async def run(
        self,
        job: Job,
        *,
        timeout: float | None,
        started: Callable[[], None],
        until: Callable[[], float] = lambda: math.inf,
        patience: float = math.inf,
    ) -> Verdict:
        """Run the job when its turn comes; `started` is called then, and `timeout` (seconds) begins.

        `started` is called by the event loop, in the moment in which a process is free, or has begun it by itself. If
        it raises, the job is not run, or is ended, and so does this: Parked says that it is too late for it.
        `until` says until when a process may begin it by itself, in seconds of the event loop's time; one that comes to
        it later says Unstarted. A job that no process has begun after `patience` seconds is Parked.
        A job whose run is cancelled or timed out is ended with its process before this returns. Raises
        TaskTimeout, ProcessDied if the process ends by itself or cannot be started, SerializationError
        if the job cannot be written, and ExecutionError if the pool is closed.
        """
        child, inbox = await self._begin(Turn(frame_of(job), started, until), patience)
        timer = asyncio.timeout(timeout)
        try:
            async with timer:
                reply = await child.reply(inbox, self._sender)
        except BaseException as error:
            await self._end(child, inbox)
            if isinstance(error, TimeoutError) and timer.expired():
                raise TaskTimeout(f"{job.current.name} was ended by its timeout of {timeout:g} s") from None
            if isinstance(error, EOFError):
                raise ProcessDied(f"the process that ran {job.current.name} {child.epitaph}") from None
            raise
        return _verdict(job, reply)

    async def close(self) -> None:
        """End all processes: idle ones by themselves, busy ones at once. May be called repeatedly."""
        self._closed = True
        for child in list(self._ready):
            self._recall(child)
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

    async def _begin(self, turn: Turn, patience: float) -> tuple[PoolProcess, Inbox]:
        if self._closed:
            raise _closed()
        if not self._size:
            raise ExecutionError("this worker has no process pool: start it with a process_pool_size of 1 or more")
        self._line.append(turn)
        while self._idle and not turn.placed.done():
            self._offer(self._idle.pop())  # the one that was used last: its memory is warm
        self._staff()
        parking = asyncio.get_running_loop().call_later(patience, self._park, turn)
        try:
            await turn.placed
        except asyncio.CancelledError:
            await self._cancel(turn)
            raise
        finally:
            parking.cancel()
        if (refused := turn.refused) is not None:
            turn.refused = None
            if turn.at is not None:
                await self._end(*turn.at)
            try:
                raise refused
            finally:
                del refused  # its traceback holds this frame
        assert turn.at is not None
        return turn.at

    def _park(self, turn: Turn) -> None:
        """Let nobody run it, unless a process has begun it by itself, as will be heard in a moment."""
        if self._withdraw(turn) is None:
            turn.fail(Parked())

    async def _cancel(self, turn: Turn) -> None:
        """Let nobody run it: a process that has begun it is ended."""
        if (child := self._withdraw(turn)) is not None:
            with suppress(Parked):
                turn.started()  # it has been, though nobody had heard of it
            await child.end()
        if turn.at is not None:
            await self._end(*turn.at)  # begun in the very moment of the cancellation

    def _withdraw(self, turn: Turn) -> PoolProcess | None:
        """Let no process begin it; the one that has begun it by itself, where nobody has heard of that yet."""
        for child, ready in list(self._ready.items()):
            if ready is turn and not self._recall(child):
                return child
        if turn in self._line:
            self._line.remove(turn)
        return None

    async def _end(self, child: PoolProcess, inbox: Inbox) -> None:
        """End the process if it runs this job, and not if that has ended and the process has begun the next one."""
        if child.runs(inbox) and self._recall(child):
            await child.end()

    def _staff(self) -> None:
        """Start processes for those in line, as far as there is room."""
        while self._needs_another():
            try:
                child = self._start()
            except Exception as error:  # the system's or multiprocessing's reason: the job that needs it hears it
                if not self._line:
                    return  # what is ready has its process, only not at once
                self._refuse_first(ProcessDied(f"no process could be started for this task: {one_line(error)}"))
                continue
            self._children.add(child)
            child.on_free = self._take_back
            child.gone.add_done_callback(partial(self._bury, child))
            child.booted = start_soon(self._boot(child))

    def _needs_another(self) -> bool:
        staying = [child for child in self._children if not child.leaving]
        room = not self._closed and len(staying) < self._size
        return room and sum(child.booting for child in staying) < len(self._line) + len(self._ready)

    async def _boot(self, child: PoolProcess) -> None:
        with suppress(EOFError):  # it died before it was ready: _bury tells the job that waits for it
            await child.boot()
            self._offer(child)

    def _offer(self, child: PoolProcess) -> None:
        while not child.leaving and (turn := self._first()) is not None:
            if turn.take(child):
                self._prepare(child)
                return
        if not child.leaving:
            self._idle.append(child)

    def _first(self) -> Turn | None:
        """Out of the line; if that is empty, one that is ready at a process which still runs another."""
        for child in () if self._line else list(self._ready):
            if self._recall(child):
                break
        return self._line.popleft() if self._line else None

    def _prepare(self, child: PoolProcess) -> None:
        """Have a job ready for when it has ended the one that it has now."""
        last = self._closed or child.jobs + 1 == self._max_tasks
        while self._line and self._line[0].placed.done():
            self._line.popleft()
        if self._line and child.prepares and not last and child.prepare(self._line[0].frame, self._line[0].until()):
            self._ready[child] = self._line.popleft()

    def _recall(self, child: PoolProcess) -> bool:
        """Whether no job is ready for the process, now at least; False: it has begun it."""
        if child not in self._ready:
            return True
        if not child.withdraw():
            return False
        self._line.appendleft(self._ready.pop(child))
        return True

    def _take_back(self, child: PoolProcess) -> None:
        child.jobs += 1
        if child in self._ready and not (child.leaving and self._recall(child)):
            self._ready.pop(child).begun(child)
            self._prepare(child)
        elif self._closed or child.jobs == self._max_tasks:
            child.leave()
            self._staff()
        else:
            self._offer(child)

    def _bury(self, child: PoolProcess, _: asyncio.Future[None]) -> None:
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if not self._recall(child):
            self._ready.pop(child).fail(ProcessDied(f"the process that had begun this task {child.epitaph}"))
        child.release()
        if child.booting:
            self._refuse_first(
                ProcessDied(
                    f"a process for this task {child.epitaph} while it started; what it printed says why. "
                    "A script that runs a worker needs `if __name__ == '__main__':` around that call"
                )
            )
        if self._line or not child.booting:  # for what is ready, one that cannot start is not tried again and again
            self._staff()

    def _refuse_first(self, error: ExecutionError) -> None:
        while self._line and not self._line.popleft().fail(error):
            pass  # its run was cancelled


def _closed() -> ExecutionError:
    return ExecutionError("the process pool is closed: it takes no more tasks")


def _verdict(job: Job, reply: Frame) -> Verdict:
    if reply.kind is Kind.LATE:
        return Verdict(Unstarted())
    if reply.kind is Kind.UNREADABLE:
        error = reply.read()
        return Verdict(decide(error, job.current.attempt, job.policy, job.roll), one_line(error))
    return Verdict.of(reply)

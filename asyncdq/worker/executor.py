"""Runs one task to its verdict: a coroutine in the event loop, a function in a thread, or in a process."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from .. import context
from ..errors import InvalidTask, TaskTimeout, UndecodableBody
from ..message import Done, Unstarted
from ..retry import bury, decide, one_line
from ..serializers.base import Serializer
from ..signals import Signal
from .job import Job, Verdict
from .log import log
from .pool import ProcessPool
from .run import PARKED_AFTER, Run, Stop
from .tracebacks import Tracebacks
from .turn import Parked

STUCK_AFTER = 5.0  # seconds after its end was asked for that a task is reported as stuck

LINGER = 0.01
"""Seconds for which the outcome of a process task waits for others, while enough jobs stand in line for a process."""

_DONE = Done()
_ANY = frozenset(Stop)
_NONE: frozenset[Stop] = frozenset()
_THREAD = frozenset({Stop.SHUTDOWN})  # a thread cannot be ended, only left behind
_PROCESS = frozenset({Stop.SHUTDOWN, Stop.LOST})  # the pool ends it at its timeout


class Executor:
    """Executes runs. A verdict of None means that the task is no longer ours: no outcome is due."""

    def __init__(self, threads: ThreadPoolExecutor, pool: ProcessPool, serializers: Mapping[str, Serializer]) -> None:
        self._threads = threads
        self._pool = pool
        self._serializers = serializers
        self._loop = asyncio.get_running_loop()
        self._owner = cast("asyncio.Task[None]", asyncio.current_task())
        self._tracebacks = Tracebacks()
        self.stuck: set[Run] = set()
        self.threads_left = 0  # threads that still run a task which was given back at shutdown

    async def execute(self, run: Run, started: Callable[[Run], None]) -> Verdict | None:
        """Run the task to its end; `started` is called when it really begins. Raises nothing that a task does."""
        raised: BaseException | None = None
        try:
            verdict = await self._dispatch(run, started)
        except BaseException as error:  # whatever a task raises is the end of that task alone
            verdict, raised = None, error
        run.stops_at = _NONE
        if isinstance(raised, asyncio.CancelledError) and self._owner.cancelling():
            run.interrupt(Stop.SHUTDOWN)  # asyncio.run cancels every task of a loop that it tears down
        if run.stop is not None:
            _forget_cancellation()
        try:
            return verdict or _verdict(run, raised, self._loop.time(), self._tracebacks)
        finally:
            del raised  # its traceback holds this frame: a ring, as in shift.py

    def linger(self, run: Run) -> float:
        """Seconds for which the outcome of this run may wait for others.

        While there is a job in line for each process, the slot that it holds is not missed, and a round trip for each
        outcome would take its time from the cores that the tasks need. A suspect's must not wait.
        """
        return LINGER if run.plan.task.process and self._pool.behind and not run.suspect else 0.0

    async def _dispatch(self, run: Run, started: Callable[[Run], None]) -> Verdict | None:
        """The verdict if it was reached elsewhere; None if the task returned here."""
        try:
            args, kwargs = self._arguments(run)
        except UndecodableBody as error:
            return Verdict(bury("undecodable", error), one_line(error))
        if run.plan.task.process:
            return await self._in_process(run, args, kwargs, started)
        run.begun = self._loop.time()
        started(run)
        if run.plan.fit is not None:
            args, kwargs = run.plan.fit(args, kwargs)
        context.running.set(run.current)
        if run.plan.coroutine:
            await self._in_loop(run, args, kwargs)
        else:
            await self._in_thread(run, args, kwargs)
        return None

    def _arguments(self, run: Run) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        serializer = self._serializers.get(run.envelope.content_type)
        if serializer is None:
            raise UndecodableBody(
                f"content type {run.envelope.content_type!r} is not allowed here; this worker reads "
                f"{', '.join(sorted(self._serializers))}: name the serializer with --serializer"
            )
        try:
            args, kwargs = cast("tuple[list[Any], dict[Any, Any]]", serializer.loads(run.envelope.args))
            return tuple(args), {} if kwargs == {} else {str(key): value for key, value in kwargs.items()}
        except Exception as error:  # a serializer may be the user's own, and raise anything
            raise UndecodableBody(f"the arguments cannot be read: {one_line(error)}") from error

    async def _in_loop(self, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        timeout = run.plan.timeout
        timer = None
        if timeout is not None:
            timer = self._loop.call_later(timeout, self._time_out, run)
        run.stops_at = _ANY
        try:
            await run.plan.task.function(*args, **kwargs)
        finally:
            run.stops_at = _NONE
            if timer is not None:
                timer.cancel()
                self.stuck.discard(run)

    async def _in_thread(self, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        loop = self._loop
        function, copied = run.plan.task.function, contextvars.copy_context()
        thread = loop.run_in_executor(self._threads, lambda: copied.run(_call, function, args, kwargs))
        timer = None if run.plan.timeout is None else loop.call_later(run.plan.timeout, self._report_stuck, run)
        run.stops_at = _THREAD
        try:
            raised = await asyncio.shield(thread)
        finally:
            if timer is not None:
                timer.cancel()
                self.stuck.discard(run)
            if not thread.done():
                self.threads_left += 1
                thread.add_done_callback(self._thread_ended)
        if raised:
            raise raised.pop()  # all frames that it came through hold this list: with the error in it, they were a ring

    async def _in_process(
        self,
        run: Run,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        started: Callable[[Run], None],
    ) -> Verdict:
        task = run.plan.task
        job = Job(task.module, task.qualname, args, kwargs, run.current(), run.plan.policy, random.random())
        loop = self._loop

        def begin() -> None:
            if loop.time() >= run.deadline:  # it has waited for the process, or this worker was frozen meanwhile
                raise Parked
            run.begun = loop.time()
            started(run)

        run.stops_at = _PROCESS
        try:
            return await self._pool.run(
                job, timeout=run.plan.timeout, started=begin, until=lambda: run.deadline, patience=PARKED_AFTER
            )
        except Parked:
            return Verdict(Unstarted())

    def _thread_ended(self, _: asyncio.Future[list[BaseException]]) -> None:
        self.threads_left -= 1

    def _time_out(self, run: Run) -> None:
        run.interrupt(Stop.TIMEOUT)
        self._loop.call_later(STUCK_AFTER, self._report_stuck, run)

    def _report_stuck(self, run: Run) -> None:
        """Its timeout has passed and it still runs: say so; its slot and its lease are held until it ends."""
        if run.job is not None and not run.job.done() and (run.stops_at or not run.plan.coroutine):
            self.stuck.add(run)
            log.warning(
                "%s %s is stuck: its timeout of %g s has passed and it cannot be ended; its slot is held until it is",
                run.task,
                run.delivery.id,
                run.plan.timeout,
                extra={"event": "task_stuck", "task": run.task, "task_id": run.delivery.id},
            )


def _verdict(run: Run, error: BaseException | None, now: float, tracebacks: Tracebacks) -> Verdict | None:
    """What a run's end means, given what it raised and whether it was interrupted."""
    duration = 0.0 if run.begun is None else now - run.begun
    if error is None and run.stop is None:
        return Verdict(_DONE, "", duration)
    if run.stop is Stop.LOST:
        return None
    deliberate = isinstance(error, Signal)  # the task was interrupted, and says itself how it goes on
    if run.stop is Stop.SHUTDOWN and not deliberate and not (error is None and not run.plan.coroutine):
        return Verdict(run.given_up, duration=duration)
    if run.stop is Stop.TIMEOUT and not deliberate:
        error = TaskTimeout(f"it ran longer than its timeout of {run.plan.timeout:g} s")
    outcome = decide(error, run.delivery.attempt, run.plan.policy, random.random())
    if error is None:
        return Verdict(outcome, "", duration)
    return Verdict(outcome, one_line(error), duration, tracebacks.of(error, outcome, now))


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[BaseException]:
    """What the function raised, if it did: a future refuses to carry StopIteration, and would never be done."""
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        return [error]
    if inspect.iscoroutine(result):
        result.close()
        return [InvalidTask(f"{function.__qualname__} returned a coroutine nobody awaits: write it with async def")]
    return []


def _forget_cancellation() -> None:
    """The cancellation was ours and has done its work; what follows in this task must not see it."""
    job = asyncio.current_task()
    while job is not None and job.cancelling():
        job.uncancel()

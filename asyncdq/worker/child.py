"""What runs in a process of the pool: one job after the other, until the worker closes the pipe."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import io
import math
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from contextvars import copy_context
from functools import cache
from importlib import import_module
from itertools import count
from typing import Any

from .. import context
from ..arguments import Fitter, fitter
from ..errors import ConnectionLost, ExecutionError, UnknownTask, UnserializableArgument
from ..message import Call, Done, Enqueued, Outcome
from ..retry import decide, one_line
from .grants import Grants
from .job import Job, Verdict
from .pipe import Frame, Kind, ProcessEnd, refusal
from .tracebacks import Tracebacks

QUIET = frozenset({signal.SIGINT, signal.SIGTERM})  # blocked by the worker until this process ignores them
_PR_SET_PDEATHSIG = 1
_numbers = count(1)  # of calls, in all jobs of this process
_tracebacks = Tracebacks()


def serve(
    sock: socket.socket, pair: tuple[socket.socket, ...], worker: int, initializer: Callable[[], object] | None
) -> None:
    """Run the jobs that come through `sock` until it is closed; die with the process `worker`."""
    _die_with(worker)
    _leave_the_terminal()
    _write_by_lines()
    if initializer is not None:
        initializer()
    own = os.getpid()
    # EOFError, OSError: the worker closed its end, or is gone, and nobody waits for what is left.
    with suppress(EOFError, OSError), closing(Grants(*pair)) as grants, closing(ProcessEnd(sock)) as pipe:
        pipe.send(Frame(Kind.READY))
        while True:
            frame = pipe.job()
            left = grants.take(frame.number) if frame.number else math.inf
            if left is None:
                continue  # it was withdrawn
            reply = _reply(frame, pipe) if left > 0 else Frame(Kind.LATE)
            if os.getpid() != own:
                os._exit(0)  # a task forked, and this is the copy: the pipe is not its own
            pipe.send(reply)


def _die_with(worker: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:
        os._exit(1)  # it died before the kernel knew that this process wants to follow


def _leave_the_terminal() -> None:
    """Let neither Ctrl-C nor a service manager that signals all processes end a job: the worker decides."""
    os.setpgid(0, 0)  # and whatever a task starts can be killed with this process
    for number in QUIET:
        signal.signal(number, _do_nothing)  # not SIG_IGN, which the programs that a task starts would inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, QUIET)


def _do_nothing(number: int, frame: object) -> None: ...


def _write_by_lines() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _reply(frame: Frame, pipe: ProcessEnd) -> Frame:
    try:
        job: Job = frame.read()
    except BaseException as error:  # user code: a module may raise anything while it is imported
        return refusal(Kind.UNREADABLE, error)
    relay = Relay(pipe)
    context.of_workers.append(relay)  # for the threads that the task starts itself
    try:
        verdict = _execute(job, relay)
    finally:
        context.of_workers.clear()
        relay.close()
    return verdict.frame()


def _execute(job: Job, relay: Relay) -> Verdict:
    began = time.perf_counter()
    outcome: Outcome = Done()
    line = trace = ""
    try:
        copy_context().run(_call, job, relay)
    except BaseException as error:  # whatever a task raises, SystemExit too, is the end of that task alone
        outcome = decide(error, job.current.attempt, job.policy, job.roll)
        line, trace = one_line(error), _tracebacks.of(error, outcome, time.perf_counter())
    duration = time.perf_counter() - began
    _flush()
    return Verdict(outcome, line, duration, trace)


def _call(job: Job, relay: Relay) -> None:
    context.running.set(lambda: job.current)
    context.sender.set(relay)
    function, fit = _find(job.module, job.qualname)
    args, kwargs = job.args, job.kwargs
    if fit is not None:
        args, kwargs = fit(args, kwargs)
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        asyncio.run(result)


@cache
def _find(module: str, qualname: str) -> tuple[Callable[..., Any], Fitter | None]:
    found: Any = import_module(module)
    try:
        for name in qualname.split("."):
            found = getattr(found, name)
    except AttributeError:
        raise UnknownTask(
            f"the process finds no {qualname!r} in the module {module!r}: "
            "a process task must stand at module level, under the name of its function"
        ) from None
    function = found if inspect.isfunction(found) else getattr(found, "function", found)
    return function, fitter(function)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # a task may have closed or replaced it
            stream.flush()


class Relay:
    """Enqueues through the worker while one task runs. A `context.Sender`."""

    def __init__(self, pipe: ProcessEnd) -> None:
        self._pipe: ProcessEnd | None = pipe
        self._turn = threading.Lock()  # calls of several threads: each writes, and reads its own answer
        self._process = os.getpid()

    async def send(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        """Store all calls, without blocking the task's event loop. Raises what the worker's client raises."""
        return await asyncio.to_thread(self.send_sync, calls)

    def send_sync(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        """Store all calls. Raises what the worker's client raises."""
        try:
            body = pickle.dumps(list(calls))
        except Exception as error:  # user code: its __reduce__ may raise anything
            raise UnserializableArgument(f"these arguments cannot leave the process: {one_line(error)}") from error
        if os.getpid() != self._process:
            raise ExecutionError("a process that a task has forked cannot enqueue: enqueue in the task itself")
        answer = self._exchange(Frame(Kind.CALLS, body, next(_numbers)))
        if answer.kind is Kind.REFUSED:
            raise answer.read()
        stored: list[Enqueued[Any]] = answer.read()
        return stored

    def close(self) -> None:
        """Refuse calls from now on; those under way get their answers first."""
        if os.getpid() == self._process:  # in a copy, the lock may be held by a thread that is not there
            with self._turn:
                self._pipe = None

    def _exchange(self, calls: Frame) -> Frame:
        with self._turn:
            if self._pipe is None:
                raise ExecutionError("the task has returned: what it leaves running can no longer enqueue through it")
            try:
                self._pipe.send(calls)
                return self._pipe.answer(calls.number)
            except (EOFError, OSError) as error:
                raise ConnectionLost("the worker is gone; whether the calls were stored is unknown") from error

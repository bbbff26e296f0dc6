"""Processes of the pool that are none: what the pool sees of them happens on virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from asyncdq import context
from asyncdq.message import Done
from asyncdq.retry import decide, one_line
from asyncdq.tasks import registry
from asyncdq.worker.grants import Grants
from asyncdq.worker.job import Job, Verdict
from asyncdq.worker.pipe import Frame, Inbox, Kind, WorkerEnd
from asyncdq.worker.process import PoolProcess

from .blocking import Span, measured
from .virtual import OUTSIDE, PROCESS

SLOWEST_START = 1.5  # seconds: longer than a task may be parked
DEATH = 0.01  # seconds from the signal to the end


class Killed(BaseException):
    """Raised by a function that ends its process."""


class Places(Grants):
    """Grants that are no datagrams. Each is given into an empty place, or somebody else would take it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._until: dict[int, float] = {}

    def give(self, number: int, seconds: float) -> None:
        """As the real ones."""
        assert number % 2 not in self._until, f"the place of {number} is not empty"
        self._until[number % 2] = self._loop.time() + seconds

    def take(self, number: int) -> float | None:
        """As the real ones."""
        until = self._until.pop(number % 2, None)
        return None if until is None else until - self._loop.time()

    def close(self) -> None:
        """As the real ones."""


class Received(WorkerEnd):
    """What the process has not read yet; `come` is called when there is something new."""

    def __init__(self, come: Callable[[], None]) -> None:
        self.frames: deque[Frame] = deque()
        self.open = True
        self._come = come

    def send(self, frame: Frame) -> None:
        """As the worker's end does."""
        self.frames.append(frame)
        self._come()


class ScriptedProcess(PoolProcess):
    """A process of the pool. It goes on while its worker is frozen, and dies with it."""

    short = math.inf  # the longer two jobs are in one process, the more can happen to them

    def __init__(self) -> None:
        # not the real one's: that starts a process
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.booting = True
        self.leaving = False
        self.jobs = 0
        self.booted: asyncio.Task[None] | None = None
        self.epitaph = "was killed"
        self._inbox: Inbox | None = None
        self._began = 0.0
        self._brisk = False
        self._number = 0
        self._grants = Places(self._loop)
        self._pipe = self._received = Received(self._go_on)
        self._worker = PROCESS.get()
        self._context = contextvars.copy_context()
        self._span: Span | None = None
        self._pauses = self._dead = False

    async def boot(self) -> None:
        """Return when it can take a job."""
        await asyncio.sleep(random.uniform(0.0, SLOWEST_START))  # virtual: it starts
        if self.gone.done():
            raise EOFError
        self.booting = False

    def leave(self) -> None:
        """Let it end by itself."""
        self.leaving = True
        self._loop.call_later(DEATH, self._set_gone, context=OUTSIDE)

    def kill(self) -> None:
        """End it."""
        self.leaving = True
        self._loop.call_later(DEATH, self._die, context=OUTSIDE)

    def _start(self, job: Frame) -> None:
        """Run the function, and reply when its seconds are over."""
        verdict, self._span = self._context.copy().run(measured, partial(_run, job.read()))
        self._loop.call_later(self._span.seconds, self._end, verdict, context=OUTSIDE)

    def _end(self, verdict: Verdict | None) -> None:
        if self._span is None or (self._worker is not None and self._worker.dead):
            return
        if verdict is None:
            self._die()
            return
        self._span.note(self._span.how)
        verdict = replace(verdict, duration=self._span.seconds)
        self._span = None
        self._say(verdict.frame())
        self._pauses = random.random() < 0.5  # the worker may hear that before the process goes on
        self._loop.call_later(0.001 if self._pauses else 0.0, self._resume, context=OUTSIDE)
        self._go_on()

    def _resume(self) -> None:
        self._pauses = False
        self._go_on()

    def _go_on(self) -> None:
        while self._received.frames and self._span is None and not self._pauses and not self._dead:
            job = self._received.frames.popleft()
            left = self._grants.take(job.number) if job.number else math.inf
            if left is None:
                continue
            if left > 0:
                self._start(job)
            else:
                self._say(Frame(Kind.LATE))

    def _say(self, frame: Frame) -> None:
        self._loop.call_soon(self._heard, frame, context=self._context)  # a frozen worker hears it later

    def _die(self) -> None:
        if self._span is not None:
            self._span.note("killed")
            self._span = None
        self._dead = True
        self._loop.call_soon(self._lose, context=self._context)  # behind what it has said

    def _lose(self) -> None:
        self.leaving = True
        if self._inbox is not None:
            self._inbox.end()
        self._set_gone()

    def _set_gone(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


def _run(job: Job) -> Verdict | None:
    """What the process would say of this job; None if the job ends it."""
    context.running.set(lambda: job.current)
    try:
        registry()[job.current.name].function(*job.args, **job.kwargs)
    except Killed:
        return None
    except Exception as error:
        return Verdict(decide(error, job.current.attempt, job.policy, job.roll), one_line(error))
    return Verdict(Done())

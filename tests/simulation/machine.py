"""Processes of the pool that are none: what the pool sees of them happens on virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import random
from dataclasses import replace
from functools import partial

from asyncdq import context
from asyncdq.message import Done
from asyncdq.retry import decide, one_line
from asyncdq.task import registry
from asyncdq.worker.job import Job, Verdict
from asyncdq.worker.pipe import Frame, Inbox, Kind
from asyncdq.worker.process import PoolProcess

from .blocking import Span, measured
from .virtual import OUTSIDE, PROCESS

SLOWEST_START = 1.5  # seconds: longer than a task may be parked
DEATH = 0.01  # seconds from the signal to the end


class Killed(BaseException):
    """Raised by a function that ends its process."""


class ScriptedProcess(PoolProcess):
    """A process of the pool. It goes on while its worker is frozen, and dies with it."""

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
        self._worker = PROCESS.get()
        self._context = contextvars.copy_context()
        self._span: Span | None = None

    async def boot(self) -> None:
        """Return when it can take a job."""
        await asyncio.sleep(random.uniform(0.0, SLOWEST_START))  # virtual: it starts
        if self.gone.done():
            raise EOFError
        self.booting = False

    def take(self, job: Frame) -> Inbox:
        """Run the function, and reply when its seconds are over."""
        self._inbox = inbox = Inbox()
        verdict, self._span = self._context.copy().run(measured, partial(_run, job.read()))
        self._loop.call_later(self._span.seconds, self._end, verdict, context=OUTSIDE)
        return inbox

    def leave(self) -> None:
        """Let it end by itself."""
        self.leaving = True
        self._loop.call_later(DEATH, self._set_gone, context=OUTSIDE)

    def kill(self) -> None:
        """End it."""
        self.leaving = True
        self._loop.call_later(DEATH, self._die, context=OUTSIDE)

    def _end(self, verdict: Verdict | None) -> None:
        if self._span is None or (self._worker is not None and self._worker.dead):
            return
        if verdict is None:
            self._die()
        else:
            self._span.note(self._span.how)
            verdict = replace(verdict, duration=self._span.seconds)
            self._span = None
            frame = Frame(Kind.VERDICT, pickle.dumps(verdict))
            self._loop.call_soon(self._heard, frame, context=self._context)  # a frozen worker hears it later

    def _die(self) -> None:
        if self._span is not None:
            self._span.note("killed")
            self._span = None
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

"""Processes of the pool that are none: what the pool sees of them happens on virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import random
from dataclasses import replace
from functools import partial
from typing import Any

from asyncdq import context
from asyncdq.context import Sender
from asyncdq.message import Done
from asyncdq.retry import decide, one_line
from asyncdq.task import registry
from asyncdq.worker.job import Job, Verdict
from asyncdq.worker.pipe import Frame, Kind
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
        self._worker = PROCESS.get()
        self._span: Span | None = None

    async def boot(self) -> None:
        """Return when it can take a job."""
        await asyncio.sleep(random.uniform(0.0, SLOWEST_START))  # virtual: it starts
        if self.gone.done():
            raise EOFError
        self.booting = False

    async def execute(self, job: Frame, sender: Sender | None) -> Frame:
        """Run the function, and reply when its seconds are over. EOFError if it died."""
        reply: asyncio.Future[Frame] = self._loop.create_future()
        verdict, self._span = contextvars.copy_context().run(measured, partial(_run, job.read()))
        self._loop.call_later(self._span.seconds, self._end, reply, verdict, context=OUTSIDE)
        ends: list[asyncio.Future[Any]] = [reply, self.gone]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise EOFError
        return reply.result()

    def leave(self) -> None:
        """Let it end by itself."""
        self.leaving = True
        self._loop.call_later(DEATH, self._set_gone, context=OUTSIDE)

    def kill(self) -> None:
        """End it."""
        self._loop.call_later(DEATH, self._die, context=OUTSIDE)

    def _end(self, reply: asyncio.Future[Frame], verdict: Verdict | None) -> None:
        if self._span is None or (self._worker is not None and self._worker.dead):
            return
        if verdict is None:
            self._die()
        else:
            self._span.note(self._span.how)
            verdict = replace(verdict, duration=self._span.seconds)
            self._span = None
            reply.set_result(Frame(Kind.VERDICT, pickle.dumps(verdict)))

    def _die(self) -> None:
        if self._span is not None:
            self._span.note("killed")
            self._span = None
        self.leaving = True
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

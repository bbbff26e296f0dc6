"""One process of the pool, seen from the worker."""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import pickle
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess

from ..context import Sender
from ..errors import ConfigurationError
from .child import QUIET, serve
from .grants import Grants
from .pipe import Frame, Inbox, Kind, WorkerEnd, refusal

_LAST = frozenset({Kind.DONE, Kind.VERDICT, Kind.UNREADABLE, Kind.LATE})  # what a process says at the end of a job

PATIENCE = 3.0  # seconds that a process may take to end by itself after its pipe is closed
_FITS = 64 * 2**10  # bytes: a task that is interrupted while it reads an answer must not find half of a job before it
_SPAWN = multiprocessing.get_context("spawn")


class PoolProcess:
    """A process that runs one job at a time, and may have another ready, which it begins by itself.

    It is `booting` until it has said that it is ready, `leaving` from when it gets no more jobs because its pipe is to
    be closed or it is to be killed, and `gone` when it has been reaped and nothing of it is open any more. `on_free` is
    called in the moment in which a job has ended: what is given to it then it begins without having slept.
    """

    on_free: Callable[[PoolProcess], None]
    short = 0.1  # seconds: what runs longer gains nothing from a job that is ready behind it

    def __init__(self, initializer: Callable[[], object] | None = None) -> None:
        """Start it, in the thread of the event loop: the kernel ends it when the thread that started it ends."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.booting = True
        self.leaving = False
        self.jobs = 0
        self.booted: asyncio.Task[None] | None = None
        self.epitaph = "is alive"
        self._inbox: Inbox | None = None  # that of the job which it runs
        self._began = 0.0
        self._brisk = False
        self._number = 0  # of the last job that stood ready
        self._reaped = False
        self._patience: asyncio.TimerHandle | None = None
        self._pipe = WorkerEnd(self._heard, self._pipe_lost)
        self._socket, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(self._socket.close)
            self._grants = Grants()
            undo.callback(self._grants.close)
            given = (theirs, self._grants.pair, os.getpid(), initializer)
            self._process = _SPAWN.Process(target=serve, args=given, name="asyncdq-process")
            _start_quietly(self._process)
            undo.pop_all()
        self._pid = self._process.ident or 0
        self._watch = _watch(self._process)
        self.gone.get_loop().add_reader(self._watch, self._ended)
        atexit.register(self.kill)  # before multiprocessing's own atexit, which would wait for it

    async def boot(self) -> None:
        """Return when it can take a job. EOFError if it ended before."""
        self._socket.setblocking(False)
        self._inbox = inbox = Inbox()
        await self.gone.get_loop().create_connection(lambda: self._pipe, sock=self._socket)
        await inbox.next()
        self._inbox = None
        self.booting = False

    def take(self, job: Frame) -> Inbox:
        """Begin this job; what the process says about it comes there."""
        self._pipe.send(job)
        return self.go_on()

    @property
    def prepares(self) -> bool:
        """Whether it is worth while to have a job ready: its jobs are short."""
        return self._brisk and not self.leaving

    def prepare(self, job: Frame, until: float) -> bool:
        """Have this job ready: it begins by itself when that which runs has ended, but only until that time.

        To be called when that has just begun (see grants.py). False if it does not fit into the pipe as a whole, or the
        system does not allow it.
        """
        if len(job.body) > _FITS:
            return False
        try:
            self._grants.give(self._number + 1, until - self.gone.get_loop().time())
        except OSError:
            return False
        self._number += 1
        self._pipe.send(job._replace(number=self._number))  # last: a job without a grant is passed by
        return True

    def withdraw(self) -> bool:
        """Whether the job that is ready has not begun. Then it never will, or only when it is given again."""
        return self._grants.take(self._number) is not None

    def go_on(self) -> Inbox:
        """It begins a job that it has; what the process says about it comes there."""
        self._inbox = inbox = Inbox()
        self._began = self.gone.get_loop().time()
        return inbox

    async def reply(self, inbox: Inbox, sender: Sender | None) -> Frame:
        """What it says at the end of a job, after answers to what it asks. EOFError, and it is gone, if nothing."""
        try:
            while (frame := await inbox.next()).kind is Kind.CALLS:
                answer = await _answer(frame, sender)
                self._pipe.send(answer._replace(number=frame.number))
        except EOFError:
            await asyncio.wait([self.gone])
            raise
        return frame

    def leave(self) -> None:
        """Let it end by itself, within PATIENCE."""
        self.leaving = True
        self._pipe.close()

    def kill(self) -> None:
        """End it and what its task has started in its process group; `gone` is set soon after."""
        self.leaving = True
        if not self._reaped:
            with suppress(ProcessLookupError, PermissionError):  # too young to have a group, or a zombie
                os.killpg(self._pid, signal.SIGKILL)
            self._process.kill()

    def runs(self, inbox: Inbox) -> bool:
        """Whether the job of this inbox has not ended, as far as has been heard."""
        return self._inbox is inbox

    def release(self) -> None:
        """It is gone, and nobody withdraws anything more."""
        self._grants.close()
        if not self._pipe.open:  # else it is closed with it
            self._socket.close()

    async def end(self) -> None:
        """Kill it, and return when it is gone; a cancellation is held back until then."""
        self.kill()
        cancelled: asyncio.CancelledError | None = None
        while not self.gone.done():
            try:
                await asyncio.wait([self.gone])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _heard(self, frame: Frame) -> None:
        inbox = self._inbox
        if inbox is None:
            return
        inbox.put(frame)
        if frame.kind in _LAST:
            self._inbox = None
            self._brisk = self.gone.get_loop().time() - self._began < self.short
            self.on_free(self)

    def _pipe_lost(self) -> None:
        self.leaving = True
        if self._inbox is not None:
            self._inbox.end()
        if self._reaped:
            self._set_gone()
        else:
            self._patience = self.gone.get_loop().call_later(PATIENCE, self.kill)

    def _ended(self) -> None:
        if self._inbox is not None:
            self.kill()  # what its task has started, before another attempt can start
        self.gone.get_loop().remove_reader(self._watch)
        os.close(self._watch)
        self._process.join()
        self.epitaph = _epitaph(self._process.exitcode)
        self._reaped = self.leaving = True
        self._process.close()
        atexit.unregister(self.kill)
        if self._patience is not None:
            self._patience.cancel()
        if self._pipe.open:
            # What it has written is read first. Then comes the end, even if a process of its own still holds the pipe.
            with suppress(OSError):  # closed already, but the event loop has not said so yet
                self._socket.shutdown(socket.SHUT_RD)
        elif self.booted is None or self.booted.done():
            self._set_gone()
        else:
            self.booted.add_done_callback(lambda _: self._set_gone())  # it may be about to open the pipe

    def _set_gone(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


def _start_quietly(process: SpawnProcess) -> None:
    """Start it with Ctrl-C and SIGTERM blocked, until it has its own handlers."""
    resource_tracker.ensure_running()  # else its start, within ours, would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, QUIET)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(process: SpawnProcess) -> int:
    """A file descriptor that becomes readable when the process ends."""
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):  # a kernel or a sandbox without it
            return os.pidfd_open(process.ident or 0)
    return os.dup(process.sentinel)  # a pipe; what the process has forked may hold it open


def _epitaph(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    return f"was killed by {name}" + (" (by the kernel, if memory ran out)" if -code == signal.SIGKILL else "")


async def _answer(calls: Frame, sender: Sender | None) -> Frame:
    try:
        if sender is None:
            raise ConfigurationError("this worker has no client through which a process task could enqueue")
        return Frame(Kind.STORED, pickle.dumps(await sender.send(calls.read())))
    except Exception as error:  # whatever it is, it is the answer to this task
        return refusal(Kind.REFUSED, error)

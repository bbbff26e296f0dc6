"""A job of a process task on its way: in line for a process, ready at one, begun by one."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import SerializationError
from ..retry import one_line
from .job import Job
from .pipe import Frame, Inbox, Kind
from .process import PoolProcess


class Parked(Exception):
    """No process has begun it in time, and none will."""


@dataclass(slots=True, eq=False)
class Turn:
    """A job, and who waits for it. `started` is called when a process is free for it or has begun it; if that raises,
    or no process will run it, `refused` is the error. `at` is the process that has begun it, and what that says of it
    comes to the inbox; `placed` is done when there is one, or never will be.

    `until` tells until when, as far as is known, a process may begin it, in seconds of the event loop's time.
    """

    frame: Frame
    started: Callable[[], None]
    until: Callable[[], float]
    at: tuple[PoolProcess, Inbox] | None = None
    refused: BaseException | None = None
    placed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def take(self, child: PoolProcess) -> bool:
        """Begin it on this process, unless it is too late for that."""
        if self.placed.done():
            return False
        try:
            self.started()
        except BaseException as error:  # it is too late for it; whatever it is, who waits for it hears it
            self._refuse(error)
            return False
        self.at = child, child.take(self.frame)
        self.placed.set_result(None)
        return True

    def begun(self, child: PoolProcess) -> None:
        """This process, where it stood ready, has begun it; its run may have been cancelled in this very moment."""
        self.at = child, child.go_on()
        if self.placed.done():
            return
        try:
            self.started()
        except BaseException as error:
            self._refuse(error)
        else:
            self.placed.set_result(None)

    def fail(self, error: Exception) -> bool:
        """No process will run it. Whether somebody hears that."""
        if self.placed.done():
            return False
        self._refuse(error)
        return True

    def _refuse(self, error: BaseException) -> None:
        self.refused = error  # not in `placed`, which cannot forget it: a ring, since its traceback leads back to here
        self.placed.set_result(None)


def frame_of(job: Job) -> Frame:
    """The job as it crosses the pipe. Raises SerializationError if it cannot."""
    try:
        return Frame(Kind.JOB, pickle.dumps(job))
    except Exception as error:  # user code: its __reduce__ may raise anything
        raise SerializationError(
            f"{job.current.name}: an argument or an error class of its retry policy cannot be sent to a process; "
            f"define its class at the level of a module: {one_line(error)}"
        ) from error

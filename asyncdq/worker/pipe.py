"""The pipe between the worker and a process of its pool: frames of a kind, a number, a length and a body.

    worker -> process   JOB: a Job; STORED or REFUSED: the answer to CALLS
    process -> worker   READY, once; then for each JOB any number of CALLS, and DONE, VERDICT,
                         UNREADABLE or LATE

A JOB may come while another runs. Then it has a number, and is begun only if the process has a grant for it.

Something, such as an alarm, may make the task go on or end before the answer to its CALLS has come. So CALLS have
numbers, their answers bear the same, and an answer for which nobody waits is passed by.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, cast

from ..errors import AsyncdqError, DriverError
from ..retry import one_line

_HEADER = struct.Struct("!BQQ")


class Kind(IntEnum):
    """What the body of a frame is."""

    READY = 1  # nothing: the process has started
    JOB = 2  # a Job
    CALLS = 3  # a list of Calls that the task wants to enqueue
    STORED = 4  # their list of Enqueued
    REFUSED = 5  # the error instead of it
    DONE = 6  # the Verdict of a task that has returned
    VERDICT = 7  # any other Verdict
    UNREADABLE = 8  # the error that reading the Job raised
    LATE = 9  # nothing: its grant had run out, and it was not begun


class Frame(NamedTuple):
    """One message on the pipe; the body is a pickle, but for that of DONE, read by whom it concerns."""

    kind: Kind
    body: bytes = b""
    number: int = 0

    def packed(self) -> bytes:
        """The frame as it crosses the pipe."""
        return _HEADER.pack(self.kind, self.number, len(self.body)) + self.body

    def read(self) -> Any:
        """What the body holds. Raises whatever the classes in it raise, or their modules when they are imported."""
        return pickle.loads(self.body)


def refusal(kind: Kind, error: BaseException) -> Frame:
    """The frame that carries `error`, or one of ours with its text if it does not survive pickling."""
    try:
        body = pickle.dumps(error)
        pickle.loads(body)  # an error whose __init__ asks for more than its args can be written, but not read
    except Exception:  # user code: its __reduce__ and __init__ may raise anything
        ours = DriverError if isinstance(error, DriverError) else AsyncdqError
        body = pickle.dumps(ours(one_line(error)))
    return Frame(kind, body)


class ProcessEnd:
    """The process's end: blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)  # whatever socket.setdefaulttimeout() says in the user's script
        self._socket = sock
        self._file = sock.makefile("rb")
        self._jobs: deque[Frame] = deque()  # that came while an answer was awaited

    def send(self, frame: Frame) -> None:
        """Write a frame. OSError if the worker is gone."""
        self._socket.sendall(frame.packed())

    def job(self) -> Frame:
        """The next job. EOFError if the worker has closed its end, or is gone."""
        if self._jobs:
            return self._jobs.popleft()
        while (frame := self._receive()).kind is not Kind.JOB:
            pass  # the answer to a call of the last task, which has not waited for it
        return frame

    def answer(self, number: int) -> Frame:
        """The answer to the calls of this number. EOFError as in `job`."""
        while (frame := self._receive()).kind is Kind.JOB or frame.number != number:
            if frame.kind is Kind.JOB:
                self._jobs.append(frame)
        return frame

    def close(self) -> None:
        """Close this end; both objects hold it."""
        self._file.close()
        self._socket.close()

    def _receive(self) -> Frame:
        kind, number, length = _HEADER.unpack(self._exactly(_HEADER.size))
        return Frame(Kind(kind), self._exactly(length), number)

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError("the worker has closed the pipe")
        return data


class Inbox:
    """The frames that belong together, such as all that a process says about one job."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, frame: Frame) -> None:
        """A frame has come."""
        self._frames.append(frame)
        self._wake()

    def end(self) -> None:
        """None will come any more."""
        self._ended = True
        self._wake()

    async def next(self) -> Frame:
        """The next frame. EOFError if there will be none."""
        while not self._frames:
            if self._ended:
                raise EOFError("the process has closed the pipe")
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._frames.popleft()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class WorkerEnd(asyncio.Protocol):
    """The worker's end: never blocks the event loop. `heard` gets each frame, `lost` hears once of the end."""

    def __init__(self, heard: Callable[[Frame], None], lost: Callable[[], None]) -> None:
        self._on_heard = heard
        self._on_lost = lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self.open = False

    def send(self, frame: Frame) -> None:
        """Write a frame in the background; into a closed pipe, nothing."""
        if self._transport is not None:
            self._transport.write(frame.packed())

    def close(self) -> None:
        """Tell the process to end, after what has been sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self.open = True
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one too, but not a subclass

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._buffer += data
        while (frame := self._cut()) is not None:
            self._on_heard(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self.open = False
        self._on_lost()

    def _cut(self) -> Frame | None:
        if len(self._buffer) < _HEADER.size:
            return None
        kind, number, length = _HEADER.unpack_from(self._buffer)
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return Frame(Kind(kind), body, number)

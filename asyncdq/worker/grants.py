"""Leave for a process to begin its next job by itself: the worker gives it, and either it or the worker takes it.

It is a datagram on a socket that both of them read: the kernel gives it to one. So the worker knows, at every
moment, whether a job that stands ready can still begin, without a question that a busy process would not answer.

A pair of sockets makes two places, and grants take turns. In one, a process that has come to the frame of a job that
was withdrawn would take the next job's grant for it. In two it cannot: jobs are made ready one at a time, in the
moment in which the one before them begins. When a place is used again, the end of a job that came after the last one
there has been heard, so that one's frame has been read.
"""

from __future__ import annotations

import socket
import struct
import time

_GRANT = struct.Struct("!d")


class Grants:
    """Those of one process; worker and process have the same sockets open."""

    def __init__(self, *pair: socket.socket) -> None:
        self.pair = pair or socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for each in self.pair:
            each.setblocking(False)  # whatever socket.setdefaulttimeout() says in the user's script

    def give(self, number: int, seconds: float) -> None:
        """Let the job of this number begin for so many seconds from now."""
        self.pair[number % 2].send(_GRANT.pack(time.monotonic() + seconds))

    def take(self, number: int) -> float | None:
        """For how many seconds it may begin, 0 or less if it is too late; None if the other side has taken it."""
        try:
            grant = self.pair[1 - number % 2].recv(_GRANT.size)
        except BlockingIOError:
            return None
        until: float = _GRANT.unpack(grant)[0]
        return until - time.monotonic()

    def close(self) -> None:
        """Close this side's sockets."""
        for each in self.pair:
            each.close()

"""Waking those who wait for a queue: in this driver by a future, in other processes by a datagram.

Every driver that waits binds a socket in a folder beside the database, and whoever makes a queue ready
sends its name to each socket there. It costs 4 us per socket; nothing runs while nothing happens.
Where no socket can be bound (a long path, a file system without sockets) the waiter looks into the
database every 50 ms instead, at 0.4 % of a core.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from .waiters import Waiters

LOOK_AGAIN = 2.0
"""Seconds after which a waiter looks by itself: the safety net under lost datagrams."""

POLL = 0.05
"""Seconds between looks where no datagram can come."""

_DATAGRAM = 4096
"""Bytes that are read of a datagram."""

_NAMES = 60
"""Names in one: with 64 characters each, they fit."""


class Wakes:
    """The waiters of one driver, and the way to those of others. Belongs to one event loop."""

    def __init__(self, database: Path | None) -> None:
        self.look_again = LOOK_AGAIN
        self._folder = None if database is None else Path(f"{database}-wake")
        self._waiters = Waiters()
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._name = ""

    def waiting(self, queues: Collection[str]) -> AbstractContextManager[asyncio.Future[bool]]:
        """A future that is done, and True, as soon as one of `queues` is announced."""
        if self._folder is not None and self._socket is None:
            self._bind(self._folder)
        return self._waiters.waiting(queues)

    def announce(self, queues: Collection[str]) -> None:
        """Wake everybody who waits for one of `queues`, here and in other processes."""
        if not queues:
            return
        self._waiters.wake(queues)
        if self._folder is not None:
            names = list(queues)
            for start in range(0, len(names), _NAMES):
                self._send(self._folder, " ".join(names[start : start + _NAMES]).encode())

    def close(self, *, forked: bool = False) -> None:
        """Stop listening; those who wait return. In a forked child only let go of the socket: the parent goes on."""
        if not forked and not self._loop.is_closed():
            self._waiters.wake_all()
        receiver, self._socket = self._socket, None
        if receiver is None or self._folder is None:
            return
        if not forked:
            if not self._loop.is_closed():
                self._loop.remove_reader(receiver)
            with suppress(OSError):
                (self._folder / self._name).unlink()
                self._folder.rmdir()  # refused while others have their sockets there
        receiver.close()

    def _bind(self, folder: Path) -> None:
        try:
            receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except (AttributeError, OSError):
            self.look_again = POLL
            return
        try:
            receiver.setblocking(False)
            self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
            _bind_in(folder, self._name, receiver)
            self._loop.add_reader(receiver, self._receive, receiver)
        except (OSError, NotImplementedError):  # such as a path that is too long for a socket
            receiver.close()
            with suppress(OSError):
                folder.rmdir()
            self.look_again = POLL
            return
        self._socket, self.look_again = receiver, LOOK_AGAIN

    def _receive(self, receiver: socket.socket) -> None:
        announced: set[str] = set()
        with suppress(OSError):  # BlockingIOError: that was all
            while True:
                announced.update(receiver.recv(_DATAGRAM).decode(errors="replace").split())
        self._waiters.wake(announced)

    def _send(self, folder: Path, names: bytes) -> None:
        # Never an error: what is announced is stored, and who misses the news looks within LOOK_AGAIN.
        with suppress(OSError):
            others = [address for address in os.listdir(folder) if address != self._name]
            if not others:
                return
            # A new one each time: what a frozen one has not read fills the socket that sent it, for all others too.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                for address in others:
                    _send_to(sender, f"{folder}/{address}", names)


def _bind_in(folder: Path, name: str, receiver: socket.socket) -> None:
    """Bind, although the last one to leave may be removing the folder at this moment."""
    for _ in range(10):
        folder.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            receiver.bind(str(folder / name))
            return
    raise OSError(f"{folder} disappears again and again")


def _send_to(sender: socket.socket, address: str, names: bytes) -> None:
    try:
        sender.sendto(names, address)
    except ConnectionRefusedError:
        with suppress(OSError):
            os.unlink(address)  # its process ended without taking leave
    except OSError:
        pass  # full: it has wakes to read already. Otherwise it looks by itself, within LOOK_AGAIN.

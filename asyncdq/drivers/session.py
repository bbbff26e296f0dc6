"""What a connected driver has open: one session, of one event loop of one process, opened and closed in turn."""

from __future__ import annotations

import asyncio
import os
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from ..errors import DriverError
from .base import BaseDriver
from .calls import Calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What exists between `connect` and `disconnect`; each driver adds what it opens. Made where it shall live."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    process: int = field(default_factory=os.getpid)

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that opened it: nothing in it is ours to close."""
        return self.process != os.getpid()


S = TypeVar("S", bound=Session)

_of_parents: list[Session] = []
"""What forked children have found open. Kept: client libraries end a connection that is dropped, the parent's too."""


class SessionDriver(BaseDriver, Generic[S]):
    """A driver that keeps what it has open in one session, and refuses other loops and processes (rule 11).

    It says how a session is opened and closed, by `_open` and `_close`, and need not care who else does the same
    at that moment: one caller comes after the other, and the last one decides.
    """

    _session: S | None = None

    @property
    def connected(self) -> bool:
        """Whether `connect` has succeeded and `disconnect` has not been called since."""
        return self._session is not None

    async def connect(self) -> None:
        """Open a session, unless there is one. Raises what `_open` does, and `DriverError` in another loop."""
        async with self._turn():
            if self._session is None:
                self._session = await self._open()
            self._here()

    async def disconnect(self) -> None:
        """Finish the calls under way and close the session; that goes on if the caller gives up.

        What a fork has inherited is left to the parent, and what a closed loop had open is gone. Raises `DriverError`
        in another loop than that of `connect`, unless that one is closed.
        """
        session = self._session
        if session is not None and session.forked:
            self._session = None
            _of_parents.append(session)
            await self._abandon(session)  # and no turn: in a fork of a running loop nothing that waits comes back
            return
        async with self._turn():
            if (session := self._session) is None:
                return
            gone = session.loop.is_closed()
            if not gone and session.loop is not asyncio.get_running_loop():
                raise DriverError(f"{self} was connected in another event loop: disconnect it there")
            self._session = None  # first: whoever calls from now on is told so
            await self._closing.run(self._abandon(session) if gone else self._close(session))

    @abstractmethod
    async def _open(self) -> S:
        """A new session. Raises `ConfigurationError` if this backend, or we for it, will never do, else `DriverError`,
        and leaves nothing open then, nor when it is cancelled."""

    @abstractmethod
    async def _close(self, session: S) -> None:
        """Finish what is under way in this session, and close it."""

    async def _abandon(self, session: S) -> None:
        """Let go of what is left of a session whose process or event loop is not there any more: usually nothing."""

    def _here(self) -> S:
        """The session, if this process and this event loop opened it. Raises `DriverError` otherwise."""
        session = self._session
        if session is None:
            raise DriverError(f"{self} is not connected: use `async with driver:` or await driver.connect()")
        if session.forked:
            raise DriverError(f"{self} was connected before this process was forked: make a driver of its own here")
        if session.loop is not asyncio.get_running_loop():
            raise DriverError(f"{self} was connected in another event loop: make a driver for each loop")
        return session

    def _turn(self) -> asyncio.Lock:
        """Held by who opens or closes. One for each loop: a lock belongs to one, and a fork may inherit it locked."""
        return self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    @cached_property
    def _turns(self) -> WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]:
        return WeakKeyDictionary()

    @cached_property
    def _closing(self) -> Calls:
        return Calls()

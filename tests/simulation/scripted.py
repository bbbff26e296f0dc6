"""A driver on the server in memory, with a network between them whose every delay and loss is scripted."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from asyncdq.drivers.base import BaseDriver
from asyncdq.errors import ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats

from .ledger import Ledger
from .server import Server

T = TypeVar("T")

CALL_TIMEOUT = 4.0  # seconds after which a call gives up: outcome unknown


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one call: seconds to the server and back, and what is lost on the way."""

    out: float
    back: float
    loses: Literal["nothing", "request", "reply"] = "nothing"


class Network:
    """Every call takes a few milliseconds and arrives. `down`: nothing arrives at present."""

    def __init__(self, seed: int = 0, slowest: float = 0.005) -> None:
        self.random = random.Random(seed)
        self.slowest = slowest
        self.down = False

    def fate(self, verb: str) -> Fate:
        """What happens to the next call."""
        out, back = self.random.uniform(0.0001, self.slowest), self.random.uniform(0.0001, self.slowest)
        return Fate(out, back, "request" if self.down else "nothing")

    def refuse(self, verb: str, ids: Sequence[str]) -> None:
        """Raises DriverError if the server refuses this call."""


class ScriptedDriver(BaseDriver):
    """One worker's connection. The server acts outside of its process: a call that was sent has its effect,
    whatever happens to the caller."""

    def __init__(
        self,
        server: Server,
        network: Network | None = None,
        ledger: Ledger | None = None,
        *,
        name: str = "driver",
        limits: Limits | None = None,
    ) -> None:
        self.server = server
        self.network = network or Network()
        self.name = name
        self.limits = limits or Limits(batch=100, body=1_000_000, poll=0.01)
        self.calls: list[tuple[str, Any]] = []
        self._ledger = ledger or Ledger()
        self._connected = False

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """No URL leads to a server in memory."""
        raise ConfigurationError("a scripted driver is made by its test")

    @property
    def connected(self) -> bool:
        """Whether it was connected last."""
        return self._connected

    async def connect(self) -> None:
        """Reach the server once."""
        await self._call("connect", None, lambda: None)
        self._connected = True

    async def disconnect(self) -> None:
        """Reach it no more."""
        self._connected = False

    async def setup(self) -> None:
        """Nothing to make."""
        await self._call("setup", None, lambda: None)

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """Store."""
        return await self._call("enqueue", list(messages), lambda: self._enqueue(messages))

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Claim."""
        fate = self.network.fate("dequeue")
        return await self._call("dequeue", limit, lambda: self._claim(queues, limit, lease, fate), fate)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Write outcomes."""
        batch = list(outcomes)
        return await self._call("settle", batch, lambda: self._settle(batch))

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """Renew."""
        batch = list(deliveries)
        return await self._call("extend", (batch, lease), lambda: self._extend(batch, lease))

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Sleep until something is due."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        while loop.time() < ends:
            if self.network.down:
                raise ConnectionLost("the server is down")
            due = self.server.next_due(queues)
            if due is not None and due <= loop.time():
                return
            await self.server.sleep(ends if due is None else min(ends, due))

    async def queues(self) -> list[str] | None:
        """All names."""
        both = [*self.server.rows, *self.server.dead]
        return await self._call("queues", None, lambda: list(dict.fromkeys(queue for queue, _ in both)))

    async def stats(self, queue: str) -> QueueStats:
        """Numbers."""
        return await self._call("stats", queue, lambda: self.server.stats(queue))

    async def purge(self, queue: str) -> int | None:
        """Delete what waits."""
        return await self._call("purge", queue, lambda: self.server.purge(queue))

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """A page of dead letters."""
        letters = [letter for (name, _), letter in self.server.dead.items() if name == queue]
        places = {letter.id: place for place, letter in enumerate(letters, 1)}
        begin = places.get(after, 0) if after else 0
        return await self._call("dead", queue, lambda: letters[begin : begin + limit])

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter."""
        return await self._call("dead_letter", id, lambda: self.server.dead.get((queue, id)))

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Make ready again."""
        return await self._call("requeue", ids, lambda: self.server.requeue(queue, ids))

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Forget."""
        return await self._call("delete_dead", ids, lambda: self.server.delete_dead(queue, ids))

    def _enqueue(self, messages: Sequence[Message]) -> list[Message]:
        self.network.refuse("enqueue", [message.id for message in messages])
        return self.server.enqueue(messages)

    def _claim(self, queues: Mapping[str, int], limit: int, lease: float, fate: Fate) -> list[Delivery]:
        claimed = self.server.claim(queues, limit, lease)
        self._ledger.claimed(self.name, claimed, lease, arrives=fate.loses == "nothing")
        return claimed

    def _settle(self, batch: list[tuple[Delivery, Outcome]]) -> list[Delivery]:
        self.network.refuse("settle", [delivery.id for delivery, _ in batch])
        refused = self.server.settle(batch)
        self._ledger.settled(self.name, batch, refused)
        return refused

    def _extend(self, batch: list[Delivery], lease: float) -> list[Delivery]:
        self.network.refuse("extend", [delivery.id for delivery in batch])
        refused = self.server.extend(batch, lease)
        self._ledger.extended(self.name, batch, refused, lease)
        return refused

    async def _call(self, verb: str, what: object, act: Callable[[], T], fate: Fate | None = None) -> T:
        """There and back. The reply is a future that the world resolves, so that a dead caller never wakes."""
        if not self._connected and verb != "connect":
            raise DriverError("this driver is not connected")
        fate = fate or self.network.fate(verb)
        self.calls.append((verb, what))
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[T] = loop.create_future()
        outside = contextvars.Context()

        def answer(result: T | BaseException) -> None:
            if reply.done():
                return
            if isinstance(result, BaseException):
                self._ledger.troubled(self.name)
                reply.set_exception(result)
            else:
                reply.set_result(result)

        def arrive() -> None:
            try:
                result: T | BaseException = act()
            except DriverError as error:
                result = error
            if fate.loses == "nothing":
                loop.call_later(fate.back, answer, result, context=outside)

        if fate.loses != "request":
            loop.call_later(fate.out, arrive, context=outside)
        if fate.loses != "nothing":
            self._ledger.troubled(self.name)
            loop.call_later(CALL_TIMEOUT, answer, ConnectionLost(f"{verb}: no answer"), context=outside)
        return await reply

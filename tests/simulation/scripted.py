"""A driver on the server in memory, with a network between them whose every delay and loss is scripted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self, TypeVar, cast

from asyncdq.drivers.base import BaseDriver
from asyncdq.errors import Blocked, ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats

from .ledger import Ledger
from .server import Server
from .virtual import VirtualLoop

T = TypeVar("T")

SLOW = 1.0  # seconds: a lease may end meanwhile
CALL_TIMEOUT = 4.0  # seconds after which a call gives up: outcome unknown


class Fate(NamedTuple):
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

    def passes_by(self, id: str) -> bool:
        """Whether a renewal leaves out this id."""
        return False


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

    def is_connected(self) -> None:
        """It was, before this begins."""
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
        claimed = await self._call("dequeue", limit, lambda: self._claim(queues, limit, lease))
        self._ledger.heard(claimed)
        return claimed

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Write outcomes."""
        batch = list(outcomes)
        return await self._call("settle", batch, lambda: self._settle(batch))

    async def settle_telling(
        self, outcomes: Sequence[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        """Write outcomes."""
        if self.limits.keeps_sent and self._connected:
            asyncio.get_running_loop().call_soon(sent)
        return await self.settle(outcomes)

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

    def _claim(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        claimed = self.server.claim(queues, limit, lease)
        self._ledger.claimed(self.name, claimed, lease)
        return claimed

    def _settle(self, batch: list[tuple[Delivery, Outcome]]) -> list[Delivery]:
        try:
            self.network.refuse("settle", [delivery.id for delivery, _ in batch])
        except ConnectionLost:
            raise
        except DriverError:
            self._ledger.turned_away(delivery for delivery, _ in batch)
            raise
        refused = self.server.settle(batch)
        self._ledger.settled(self.name, batch, refused)
        return refused

    def _extend(self, batch: list[Delivery], lease: float) -> list[Delivery]:
        self.network.refuse("extend", [delivery.id for delivery in batch])
        held = [delivery for delivery in batch if self.network.passes_by(delivery.id)]
        batch = [delivery for delivery in batch if delivery not in held]
        refused = self.server.extend(batch, lease)
        self._ledger.extended(self.name, batch, refused, lease)
        if held:
            raise Blocked("somebody keeps a row locked", held=held, lost=refused)
        return refused

    async def _call(self, verb: str, what: object, act: Callable[[], T]) -> T:
        """There and back. The reply is a future that the world resolves, so that a dead caller never wakes."""
        if not self._connected and verb != "connect":
            raise DriverError("this driver is not connected")
        if self.server.closed:
            raise DriverError("this world has ended")
        fate, loop = self.network.fate(verb), cast("VirtualLoop", asyncio.get_running_loop())
        self.calls.append((verb, what))
        if fate.out + fate.back > SLOW:
            self._ledger.troubled(self.name)
        reply: asyncio.Future[T] = loop.create_future()
        if fate.loses != "request":
            loop.outside(fate.out, self._arrive, reply, act, fate, loop)
        if fate.loses != "nothing":
            self._ledger.troubled(self.name)
            loop.outside(CALL_TIMEOUT, self._fail, reply, ConnectionLost(f"{verb}: no answer"))
        return await reply

    def _arrive(self, reply: asyncio.Future[T], act: Callable[[], T], fate: Fate, loop: VirtualLoop) -> None:
        """The server acts, and answers."""
        try:
            result = act()
        except DriverError as error:
            if fate.loses == "nothing":
                loop.outside(fate.back, self._fail, reply, error)
        else:
            if fate.loses == "nothing":
                loop.outside(fate.back, _answer, reply, result)

    def _fail(self, reply: asyncio.Future[T], error: DriverError) -> None:
        if not reply.done():
            self._ledger.troubled(self.name)
            reply.set_exception(error)


def _answer(reply: asyncio.Future[T], result: T) -> None:
    if not reply.done():
        reply.set_result(result)

"""A queue in Redis or Valkey: one script call per verb and batch, everything by the server's clock.

The keys and the entries in them are explained in `redis_scripts.py`, the moves in the `.lua` files.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from ..errors import AsyncdqError, ConfigurationError, DriverError
from ..message import DeadLetter, Delivery, Limits, Message, Outcome, QueueStats
from ..url import number, whole_number
from . import redis_scripts as scripts
from .base import untold
from .redis_address import parse
from .redis_entries import Verdicts, by_queue, contents, deliveries, letter, microseconds, parcels
from .redis_scripts import Keys
from .redis_wakes import LOOK_AGAIN, Wakes
from .redis_wire import Wire
from .session import Session, SessionDriver
from .waiters import announced

_ROLES = ("enqueue", "claim", "settle", "manage")
"""What has a connection of its own, if there may be so many: none of them waits for the others."""

_SETTLES = 16
"""Calls of `settle` side by side, if they have a wire of their own: it sends up to 20 trips, some of which may be
renewals."""

_HORIZON = microseconds(LOOK_AGAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session(Session):
    wires: tuple[Wire, ...]
    wakes: Wakes

    def wire(self, role: str) -> Wire:
        return self.wires[_ROLES.index(role) % len(self.wires)]

    async def give_up(self) -> None:
        """Close what has served nobody yet."""
        await asyncio.gather(*(wire.give_up() for wire in self.wires))

    async def close(self) -> None:
        await self.wakes.close()
        await asyncio.gather(*(wire.close() for wire in self.wires))


class RedisDriver(SessionDriver[_Session]):
    """Messages in the Redis at `url`; `password` and `db` count where the URL names none.

    Opens at most `max_connections`, and never more than 5. A call that is not answered within `timeout`
    seconds is `ConnectionLost`. Drivers with another `prefix` do not see each other's queues. How much
    survives the loss of the server is the server's own setting: `appendonly yes` keeps all but the last second.
    """

    # A claim answers with up to 500 bodies in one piece: that is why none of them may be huge. A script of
    # 500 takes 2 ms of the server, in which nobody else is served.
    limits = Limits(batch=500, body=16 * 2**20, poll=0.05)

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        *,
        password: str | None = None,
        db: int | str | None = None,
        max_connections: int | str = 100,
        timeout: float | str = 10.0,
        prefix: str = "asyncdq",
    ) -> None:
        given = {"password": password, "db": None if db is None else str(db)}
        self._address, said = parse(url, {key: value for key, value in given.items() if value is not None})
        options = {"max_connections": max_connections, "timeout": timeout, "prefix": prefix, **said}
        self._connections = whole_number("max_connections", options["max_connections"], 2, 100_000)
        own_wire = self._connections - 1 > _ROLES.index("settle")
        self.limits = replace(self.limits, keeps_sent=_SETTLES if own_wire else 0)
        self._timeout = number("timeout", options["timeout"], 0.001, 1e6)
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", str(options["prefix"])):
            raise ConfigurationError("the prefix of Redis keys is made of letters, digits and any of _ . : -")
        self._keys = Keys(str(options["prefix"]))

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The driver for a URL of one of the schemes of `redis_address`. Raises `ConfigurationError`."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._address)!r})"

    async def _open(self) -> _Session:
        wires = tuple(Wire(self._address, self._timeout) for _ in _ROLES[: self._connections - 1])
        wakes = Wakes(self._address, self._keys, self._timeout)
        session = _Session(wires=wires, wakes=wakes)
        try:
            await wires[0].call(b"PING")
        except BaseException:
            await session.give_up()
            raise
        return session

    async def _close(self, session: _Session) -> None:
        await session.close()

    async def setup(self) -> None:
        """Nothing: keys come into being with what they hold."""
        self._here()

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """All of a queue or none are stored, up to 500 messages or 8 MiB."""
        wire = self._here().wire("enqueue")
        calls = [
            (places, self._enqueue(wire, queue, [messages[place] for place in places]))
            for queue, places in parcels(messages, self.limits.batch)
        ]
        known: list[int] = []
        stored: list[Message] = []
        failure: AsyncdqError | None = None
        for places, call in calls:
            try:
                old = {places[each - 1] for each in await call}
            except AsyncdqError as error:
                failure = failure or error
                continue
            known += old
            stored += [messages[place] for place in places if place not in old]
        if isinstance(failure, DriverError):
            failure.stored = tuple(stored)
        elif failure is not None and stored:  # a user who may not write to one of the queues
            raise DriverError(str(failure), stored=stored) from failure
        if failure is not None:
            raise failure
        return [messages[place] for place in sorted(known)]

    def _enqueue(self, wire: Wire, queue: str, messages: list[Message]) -> asyncio.Future[list[int]]:
        if len(messages) == 1 and messages[0].delay <= 0:
            (message,) = messages
            arguments = [self._keys.channel(queue), message.id.encode(), message.body]
            return wire.run(scripts.ENQUEUE_ONE, self._keys.of(scripts.ENQUEUE_ONE, queue), arguments)
        arguments = [self._keys.channel(queue), _HORIZON, *contents(messages)]
        return wire.run(scripts.ENQUEUE, self._keys.of(scripts.ENQUEUE, queue), arguments)

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """One script for all queues."""
        wire = self._here().wire("claim")
        wanted = {queue: most for queue, most in queues.items() if most > 0}
        most = min(limit, self.limits.batch)
        if not wanted or most <= 0:
            return []
        arguments = [os.urandom(8), microseconds(lease), b"%d" % most, *(b"%d" % own for own in wanted.values())]
        answer = await wire.run(scripts.CLAIM, self._keys.of(scripts.CLAIM, *wanted), arguments)
        return deliveries(list(wanted), answer)

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when one of `queues` may have something ready, or after `timeout` seconds.

        Looks at the queues after it has begun to listen, so nothing is lost that came before.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not await self._announced(queues):
                    pass

    async def _announced(self, queues: Sequence[str]) -> bool:
        """True if one of `queues` may have something ready; False if it is time to look again."""
        session = self._here()
        with session.wakes.waiting(queues) as woken:
            await session.wakes.listen(queues)
            due: int = await session.wire("claim").run(scripts.DUE, self._keys.of(scripts.DUE, *queues), [])
            if due == 0:
                return True
            pause = LOOK_AGAIN if due < 0 else min(due / 1e6, LOOK_AGAIN)
            return await announced(woken, pause)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """One script per queue, all of them side by side."""
        return await self.settle_telling(outcomes, untold)

    async def settle_telling(
        self, outcomes: Sequence[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        """`settle`; the server carries out what it has read, though its client hangs up."""
        wire = self._here().wire("settle")
        calls: list[tuple[list[int], asyncio.Future[list[int]]]] = []
        parts = list(by_queue((delivery for delivery, _ in outcomes), self.limits.batch))
        for queue, places in parts:
            verdicts = Verdicts()
            for place in places:
                verdicts.add(place, *outcomes[place])
            arguments = [self._keys.channel(queue), _HORIZON, *verdicts.arguments()]
            keys, tell = self._keys.of(scripts.SETTLE, queue), sent if places is parts[-1][1] else None
            calls.append((verdicts.places(), wire.run(scripts.SETTLE, keys, arguments, tell)))
        return [outcomes[place][0] for place in await _refused(calls)]

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """One script per queue, all of them side by side."""
        wire = self._here().wire("settle")
        calls: list[tuple[list[int], asyncio.Future[list[int]]]] = []
        for queue, places in by_queue(deliveries, self.limits.batch):
            arguments = [microseconds(lease), *(deliveries[place].receipt for place in places)]
            calls.append((places, wire.run(scripts.EXTEND, self._keys.of(scripts.EXTEND, queue), arguments)))
        return [deliveries[place] for place in await _refused(calls)]

    async def queues(self) -> list[str]:
        """The names of all queues that hold anything, sorted. Walks over all keys of the database."""
        wire = self._here().wire("manage")
        names: set[str] = set()
        cursor = b"0"
        while True:
            cursor, keys = await wire.call(b"SCAN", cursor, b"MATCH", self._keys.pattern(), b"COUNT", b"1000")
            names.update(map(self._keys.queue, keys))
            if cursor == b"0":
                return sorted(name for name in names if ":" not in name)  # else its prefix only begins like ours

    async def stats(self, queue: str) -> QueueStats:
        """A lease that has ended counts as ready."""
        wire = self._here().wire("manage")
        return QueueStats(*await wire.run(scripts.STATS, self._keys.of(scripts.STATS, queue), []))

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed, in parts."""
        wire = self._here().wire("manage")
        counts = [
            wire.call(b"LLEN", self._keys.key(queue, "ready")),
            wire.call(b"ZCARD", self._keys.key(queue, "delayed")),
        ]
        keys, most = self._keys.of(scripts.PURGE, queue), b"%d" % self.limits.batch
        waiting = sum([await count for count in counts])
        deleted = 0
        # Counted before: with producers that go on, a queue that one waits to see empty might never be.
        while deleted < waiting and (part := await wire.run(scripts.PURGE, keys, [most])):
            deleted += part
        return deleted

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first; from the first if `after` is unknown."""
        wire = self._here().wire("manage")
        if limit <= 0:  # to Redis, -1 is the last one
            return []
        arguments = [b"%d" % limit, (after or "").encode()]
        page = await wire.run(scripts.LETTERS, self._keys.of(scripts.LETTERS, queue), arguments)
        return [letter(queue, id.decode(), value) for id, value in zip(page[::2], page[1::2], strict=True)]

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None."""
        value = await self._here().wire("manage").call(b"HGET", self._keys.key(queue, "letters"), id.encode())
        return None if value is None else letter(queue, id, value)

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One script for up to 500 ids."""
        return await self._pick(scripts.REQUEUE, queue, ids, [self._keys.channel(queue)])

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """One script for up to 500 ids."""
        return await self._pick(scripts.DELETE_DEAD, queue, ids, [])

    async def _pick(self, script: scripts.Script, queue: str, ids: Sequence[str], first: list[bytes]) -> list[str]:
        """The ids for which a script has done something."""
        wire, keys, most = self._here().wire("manage"), self._keys.of(script, queue), self.limits.batch
        found: list[str] = []
        for at in range(0, len(ids), most):
            part = await wire.run(script, keys, [*first, *(id.encode() for id in ids[at : at + most])])
            found += [id.decode() for id in part]
        return found


async def _refused(calls: list[tuple[list[int], asyncio.Future[list[int]]]]) -> list[int]:
    """The places of the deliveries that the scripts have not found to be ours, in the order of the batch."""
    return sorted([places[each - 1] for places, call in calls for each in await call])

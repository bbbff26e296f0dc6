"""Dead letters: a queue of their own for each queue, read as a whole and put back in order.

RabbitMQ has no index. Each call consumes the queue on a channel of its own and closes it: what was not
acknowledged is back in its place. While one call reads, the others wait, in other processes too: they hold an
exclusive queue in turn, which the broker deletes with the connection of a holder that dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..errors import AsyncdqError, ConnectionLost
from ..message import DeadLetter
from . import rabbitmq_wire as wire
from .rabbitmq_errors import Locked, Missing, explained
from .rabbitmq_link import Channel, Incoming, Link, Opened, within
from .rabbitmq_names import Names
from .rabbitmq_topology import ready, waiting

_TURN = 0.02
"""Seconds until the next try to be the one who reads."""

_MOST = 65535
"""What one channel can hold unacknowledged by one consumer."""


@dataclass(frozen=True, slots=True)
class Grave:
    """One dead letter where it lies, with the tags of the older ones of the same id."""

    letter: DeadLetter
    tags: tuple[int, ...]


class Graveyard:
    """The dead letters of all queues."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._turns: dict[str, asyncio.Lock] = {}

    async def count(self, queue: str) -> int:
        """How many letters there are, those that another has replaced included."""
        return await ready(self._link, self._names.dead(queue))

    @asynccontextmanager
    async def open(self, queue: str) -> AsyncGenerator[Open]:
        """All letters of a queue, for as long as this lasts; then those not forgotten are back in place."""
        async with self._turns.setdefault(queue, asyncio.Lock()), self._alone(queue) as graves:
            yield graves

    @asynccontextmanager
    async def _alone(self, queue: str) -> AsyncGenerator[Open]:
        opened = await within(self._link, self._link.opened())
        lock = await self._lock(opened, queue)
        try:
            channel = await within(self._link, opened.channel())
            try:
                yield Open(queue, self._link, channel, await self._read(channel, queue))
            finally:
                await within(self._link, channel.close())
        finally:
            await within(self._link, self._unlock(lock, queue))

    async def _lock(self, opened: Opened, queue: str) -> Channel:
        name = f"{self._names.dead(queue)}:reader"
        deadline = asyncio.get_running_loop().time() + self._link.timeout
        while True:
            channel: Channel = await within(self._link, opened.channel())
            try:
                await within(self._link, channel.queue_declare(name, exclusive=True))
                return channel
            except AsyncdqError as error:
                if not isinstance(error.__cause__, Locked):
                    raise
                if asyncio.get_running_loop().time() > deadline:  # our connection is sound, and may hold deliveries
                    text = f"another process is reading the dead letters of {queue} at the RabbitMQ at"
                    raise ConnectionLost(f"{text} {self._link.address}: try again") from error
            await asyncio.sleep(_TURN)

    async def _unlock(self, channel: Channel, queue: str) -> None:
        await channel.queue_delete(f"{self._names.dead(queue)}:reader")
        await channel.close()

    async def _read(self, channel: Channel, queue: str) -> Mapping[str, Grave]:
        name = self._names.dead(queue)
        try:
            count = min(await within(self._link, waiting(channel, name)), _MOST)
        except BaseException as error:
            if isinstance(error.__cause__, Missing):
                return {}
            raise
        if count == 0:
            return {}
        graves: dict[str, Grave] = {}
        arrived = asyncio.Queue[Incoming]()

        async def receive(message: Incoming) -> None:
            arrived.put_nowait(message)

        await within(self._link, channel.basic_qos(prefetch_count=count))
        await within(self._link, channel.basic_consume(name, receive, consumer_tag="reader"))
        for _ in range(count):
            message = await within(self._link, arrived.get())
            letter = wire.letter(queue, message)
            older = graves.pop(letter.id, None)  # what died again is the youngest
            graves[letter.id] = Grave(letter, (*(older.tags if older else ()), message.delivery_tag or 0))
        return graves


@dataclass(frozen=True, slots=True)
class Open:
    """The letters of one queue, the oldest first, in our hands."""

    queue: str
    link: Link
    channel: Channel
    graves: Mapping[str, Grave]

    def page(self, limit: int, after: str | None) -> list[DeadLetter]:
        """Up to `limit` letters behind the one with the id `after`; from the first if that is unknown."""
        ids = list(self.graves)
        begin = ids.index(after) + 1 if after is not None and after in self.graves else 0
        return [self.graves[id].letter for id in ids[begin : begin + limit]]

    async def forget(self, ids: Collection[str]) -> None:
        """These letters are gone for good."""
        if not ids:
            return  # where no letter was ever, the answer that the queue is missing has closed the channel
        with explained(self.link.address):
            for id in ids:
                for tag in self.graves[id].tags:
                    await self.channel.basic_ack(tag, wait=False)
            await within(self.link, self.channel.basic_qos(prefetch_count=0))

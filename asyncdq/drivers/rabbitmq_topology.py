"""Declaring what a message needs before it is published or consumed: once per connection and name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ..errors import AsyncdqError
from .rabbitmq_errors import Missing
from .rabbitmq_link import Channel, Link, Opened, within
from .rabbitmq_names import KEPT, Names, arrival, bit
from .rabbitmq_wire import Parcel

DOUBTFUL = 0.2
"""Seconds. Of a queue that does not answer it within 0.25 s, the broker says that it holds nothing; to it, that is no
error (stat in rabbit_quorum_queue.erl, to this day). So a nothing that took so long is asked for again."""

DOUBTED = 1.0
"""Seconds after which it is believed: a queue that has lost its quorum hands out nothing."""


class Topology:
    """Declares on a channel of its own: a declaration that is refused closes the channel."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def stands(self, opened: Opened, parcels: Iterable[Parcel]) -> bool:
        """Whether all that these need is known to be there."""
        ways = {(parcel.exchange, parcel.queue if parcel.exchange else parcel.key) for parcel in parcels}
        needed = {self._names.queue(name) if exchange else name for exchange, name in ways}
        return needed | {exchange for exchange, _ in ways} - {"", self._names.exchange} <= opened.declared

    async def queue(self, opened: Opened, queue: str) -> None:
        """The queue is there, and what is published for it, delayed or not, comes to it."""
        name = self._names.queue(queue)
        if name in opened.declared:
            return
        channel = await opened.channel()
        await channel.exchange_declare(self._names.exchange, exchange_type="topic", durable=True)
        await channel.queue_declare(name, durable=True, arguments=KEPT)
        for key in (queue, arrival(queue)):
            await channel.queue_bind(name, self._names.exchange, key)
        opened.declared.add(name)
        await channel.close()

    async def kept(self, opened: Opened, name: str) -> None:
        """The queue of this name is there, for what is published to it by name."""
        if name in opened.declared:
            return
        channel = await opened.channel()
        await channel.queue_declare(name, durable=True, arguments=KEPT)
        opened.declared.add(name)
        await channel.close()

    async def ladder(self, opened: Opened, top: str) -> None:
        """The rungs up to this one are there. From below, so that nothing ever falls beside."""
        if top in opened.declared:
            return
        channel = await opened.channel()
        await channel.exchange_declare(self._names.exchange, exchange_type="topic", durable=True)
        for number in self._names.rungs(top):
            if self._names.rung(number) not in opened.declared:
                await self._rung(channel, number)
                opened.declared.add(self._names.rung(number))
        await channel.close()

    def forget(self, opened: Opened) -> None:
        """Something is missing: look for all of it again."""
        opened.declared.clear()

    async def _rung(self, channel: Channel, number: int) -> None:
        name, below = self._names.rung(number), self._names.rung(number - 1)
        await channel.exchange_declare(name, exchange_type="topic", durable=True)
        await channel.queue_declare(name, durable=True, arguments=dict(self._names.rung_arguments(number)))
        await channel.queue_bind(name, name, bit(number, 1))
        await channel.exchange_bind(below, name, bit(number, 0))


async def waiting(channel: Channel, name: str) -> int:
    """How many messages this queue has that are with nobody."""
    loop = asyncio.get_running_loop()
    asked = began = loop.time()
    while not (count := int((await channel.queue_declare(name, passive=True)).message_count)):
        before, asked = asked, loop.time()
        if asked - before < DOUBTFUL or asked - began > DOUBTED:
            break
    return count


async def ready(link: Link, name: str) -> int:
    """How many messages this queue has that are with nobody; 0 if it is not there."""
    opened = await within(link, link.opened())
    channel = await within(link, opened.channel())
    try:
        count = await within(link, waiting(channel, name))
    except AsyncdqError as error:
        if isinstance(error.__cause__, Missing):
            return 0
        raise
    await within(link, channel.close())
    return int(count)


async def purge(link: Link, name: str) -> int:
    """Delete them, and return how many they were."""
    opened = await within(link, link.opened())
    channel = await within(link, opened.channel())
    try:
        count = (await within(link, channel.queue_purge(name))).message_count
    except AsyncdqError as error:
        if isinstance(error.__cause__, Missing):
            return 0
        raise
    await within(link, channel.close())
    return int(count)

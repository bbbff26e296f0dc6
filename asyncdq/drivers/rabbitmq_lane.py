"""The consumer of one queue, on a channel of its own, for as long as that channel lives.

What has been delivered on a channel can be acknowledged on that channel only, and once: a second time closes it,
and all its other deliveries go back to the queue. So a receipt is the lane's number and a tag, and the lane forgets
a tag before it acknowledges it. When the channel dies, everything it delivered is someone else's.

What is on its way to a consumer while the broker cancels it goes back to the queue and counts as lost, though
nobody died. So a consumer is cancelled when nothing can be on its way: it has all that it may have, or the queue
is empty. Until then nothing is acknowledged, for that makes room for more.

So the broker's count of returns says little of a message that was pushed: it may have been handed out, or have lain
on a shelf, or have been on its way. It is taken for one loss, whatever it says, and the message is moved, before it
is handed out again, to a queue that pushes nothing: there it is fetched when there is room to run it, and what is
fetched is handed out. Then each return is a loss, and the count is exact: what kills its workers is found out, and
what was sent to several that died is not taken for it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable
from itertools import count
from typing import Protocol

from .base import untold
from .rabbitmq_held import FETCHED, Held
from .rabbitmq_link import Cancelled, Channel, Incoming, Link, Opened
from .rabbitmq_topology import waiting

SETTLED_AFTER = 0.005
"""Seconds after the last arrival or acknowledgement in which more may be on its way."""

LOOK_AGAIN = 1.25
"""Seconds between two looks whether another worker has left something that came back: 48 questions a minute."""

AT_LAST = 3 * LOOK_AGAIN
"""Seconds after which a queue is looked at again, however many there are; until then they have their turns."""

SURE = 16
"""Acknowledgements on their way that the broker carries out though we die, as long as its queue keeps up. A channel
that waits for the queue to write 32 of them keeps the rest to itself, and forgets that when it dies; it answers us all
the same, so that some of those before these may be among the 32."""

LONG_AGO = 1.0
PATIENCE = 0.5

_numbers = count(1)
_MOST = 65535


class Owner(Protocol):
    """Who hears of a lane."""

    def arrived(self, lane: Lane, message: Incoming, tag: int) -> None:
        """A message was pushed, in their order; or it was fetched."""

    def interrupted(self, lane: Lane) -> None:
        """The broker has ended the consumer: its queue was deleted, or is led by another node now."""

    def ended(self, lane: Lane) -> None:
        """The channel is gone, and all it delivered with it."""


class Lane:
    """Consumes when told to, as much as it is told to."""

    def __init__(
        self, queue: str, name: str, redelivered: str, link: Link, opened: Opened, channel: Channel, owner: Owner
    ) -> None:
        self.queue = queue
        self.link = link
        self.number = next(_numbers)
        self.channel = channel
        self.held = Held()
        self.missing = False
        self._name = name
        self._redelivered = redelivered
        self._more = False  # came back and is to be fetched, as far as we know
        self._looked = -LOOK_AGAIN
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._active = self._loop.time()
        self._consumer = 0  # counts them; the last one is the one that is consuming
        self._consuming = False
        self._cancelled_tag: str | None = None
        self._prefetch = 0
        self._own = 0  # of `held`, those of the last consumer
        self._acknowledging = 0
        self._on_their_way = 0  # acknowledgements of which the broker has not said that it has heard them
        self._abandoned = False
        self._changing = asyncio.Lock()
        self._question = asyncio.Lock()
        self._asking = self._answered = 0  # who has asked, and up to whom there was an answer
        self._opened = opened
        opened.on_discard.append(lambda: owner.ended(self))
        channel.closing.add_done_callback(lambda _: owner.ended(self))
        channel.on_consumer_cancel_callbacks.add(self._cancelled)

    @property
    def alive(self) -> bool:
        """Whether what it delivered is still ours, as far as we know."""
        return not self._abandoned and self._opened.alive and not self.channel.is_closed

    @property
    def stale(self) -> bool:
        """Whether so long nothing was heard of the broker that it may have given us up, as after a freeze."""
        return self._loop.time() - self._active > LONG_AGO

    @property
    def quiet(self) -> bool:
        """Whether what was ready has arrived: it is pushed within less than this."""
        idle = not self._acknowledging and self._loop.time() - self._active > SETTLED_AFTER
        return idle and self._consuming and not self.full

    @property
    def full(self) -> bool:
        """Whether the consumer has all that it may have."""
        return self._consuming and self._own >= self._prefetch

    @property
    def unseen(self) -> float:
        """Seconds since somebody looked for what came back; infinite if there is more of it, as far as we know."""
        return math.inf if self._more else self._loop.time() - self._looked

    @property
    def due(self) -> bool:
        """Whether it is time to look for what came back."""
        return self.unseen >= LOOK_AGAIN

    def touch(self) -> None:
        """Something was sent that may bring a delivery."""
        self._active = self._loop.time()

    def supplied(self, room: int, buffered: int, total: int) -> bool:
        """Whether the broker pushes without another word, or we have enough; `total`: what all may come to.

        While the consumer may have more, it gets what is ready: more room would bring nothing sooner.
        """
        if not self._consuming:
            return False
        old = len(self.held) - self._own
        return self._own < self._prefetch or buffered >= room or self._prefetch + old >= total

    async def supply(self, room: int, buffered: int, total: int) -> None:
        """Consume, with room for that many."""
        async with self._changing:
            if self.supplied(room, buffered, total):
                return
            await self._stop()  # it has all that it may have: nothing is on its way
            # A consumer's prefetch counts its own deliveries only, those of the ones before it come on top.
            self._prefetch = min(max(1, total - len(self.held)), _MOST)
            self._consumer += 1
            self._own = 0
            number = self._consumer
            await self.channel.basic_qos(prefetch_count=self._prefetch)
            await self.channel.basic_consume(self._name, self._receive, consumer_tag=f"{number}")
            self._consuming = self._cancelled_tag != f"{number}"  # its end may have come with the answer
            self.touch()

    def expect(self) -> None:
        """There is something to be fetched."""
        self._more = True

    async def fetch(self) -> bool:
        """Get one message of those that came back, and see whether there are more; whether there was one."""
        self._looked = self._loop.time()
        message = await self.channel.basic_get(self._redelivered)
        self._more = bool(message.message_count)
        if message.delivery_tag is None:
            return False
        self.held.add(message.delivery_tag, FETCHED)
        self._owner.arrived(self, message, message.delivery_tag)
        return True

    async def seek(self) -> bool:
        """Whether there is one; it stays where it is."""
        if not self._more:
            self._looked = self._loop.time()
            self._more = await waiting(self.channel, self._redelivered) > 0
        return self._more

    async def pause(self) -> None:
        """Consume no more. What was on its way has arrived."""
        async with self._changing:
            if self._consuming and not self.full:
                await self.settle_down(lambda: False)
            await self._stop()

    async def settle_down(self, enough: Callable[[], bool]) -> None:
        """Return when everything that is ready has arrived, or `enough`; or the broker gives it to others."""
        deadline = self._loop.time() + PATIENCE
        while self._loop.time() < deadline:
            # An answer of the channel: what the queue had sent it before has gone out before it.
            await self.channel.basic_qos(prefetch_count=self._prefetch)
            if enough() or self._own >= self._prefetch:
                return
            if await waiting(self.channel, self._name) == 0:
                return

    async def acknowledge(self, tags: Collection[int], sent: Callable[[], None] = untold) -> None:
        """Forget these messages for good. When it returns, the broker has heard it on a living channel.

        `sent` hears when that is on its way, and sure to be heard.
        """
        receivers = {tag: self.held.forget(tag) for tag in tags}
        self._acknowledging += 1
        words = 0
        try:
            async with self._changing:
                self._own -= sum(receiver == self._consumer for receiver in receivers.values())
                rest = set(tags)
                last = self.held.take_oldest(rest)
                words = len(rest) + _heard_by(receivers[tag] for tag in receivers if tag not in rest)
                self._on_their_way += words
                sure = sent is not untold and self._on_their_way <= SURE
                # To wait for it is to wait until it is written; what waits in the transport, because the broker reads
                # nothing, is not seen from here.
                if last is not None:
                    await self.channel.basic_ack(last, multiple=True, wait=sure and not rest)
                while rest:
                    tag = rest.pop()
                    self.held.take(tag)
                    await self.channel.basic_ack(tag, wait=sure and not rest)
            if sure:
                self._loop.call_soon(sent)
            await self.probe()
        finally:
            self._acknowledging -= 1
            self._on_their_way -= words
            self.touch()

    async def probe(self) -> None:
        """Return when the broker has answered a question on this channel that was asked now, or later.

        A channel has one question under way. Who waits for its turn shares that of the next.
        """
        self._asking += 1
        mine = self._asking
        async with self._question:
            if self._answered >= mine:
                return
            newest = self._asking
            await self.channel.basic_qos(prefetch_count=self._prefetch)
            self._answered = newest
        self.touch()

    def abandon(self) -> asyncio.Future[None]:
        """What it delivered is nobody's any more; done when the channel is closed."""
        self._abandoned = True
        self._owner.ended(self)
        return asyncio.ensure_future(self.channel.close(ConnectionResetError("the channel is not used any more")))

    async def _stop(self) -> None:
        if self._consuming:
            self._consuming = False
            await self.channel.basic_cancel(f"{self._consumer}")

    async def _receive(self, message: Incoming) -> None:
        tag = message.delivery_tag or 0
        self.held.add(tag, self._consumer)
        self._own += 1
        self.touch()
        self._owner.arrived(self, message, tag)

    def _cancelled(self, word: Cancelled) -> None:
        """By the broker; of the one before the last consumer it may say so while the last one begins."""
        self._cancelled_tag = word.consumer_tag
        if word.consumer_tag == f"{self._consumer}":
            self._consuming = False
        self.missing = True
        self._owner.interrupted(self)


def _heard_by(receivers: Iterable[int]) -> int:
    """Of how many the queue hears when one word acknowledges what these got: each fetched one is a consumer's own."""
    found = list(receivers)
    return found.count(FETCHED) + len({*found} - {FETCHED})

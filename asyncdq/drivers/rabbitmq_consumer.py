"""What the queues push to us: one lane per queue, and a shelf for what nobody has asked for yet."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..errors import AsyncdqError, ConnectionLost, DriverError
from ..message import Delivery
from . import rabbitmq_topology as topology
from . import rabbitmq_wire as wire
from .rabbitmq_aside import Aside
from .rabbitmq_errors import explained
from .rabbitmq_lane import AT_LAST, Lane
from .rabbitmq_link import Incoming, Link, Opened, within
from .rabbitmq_names import Names
from .rabbitmq_parking import Parking
from .rabbitmq_publisher import Publisher, raised
from .rabbitmq_receipts import Receipts
from .rabbitmq_topology import Topology
from .shelf import Shelf


class Consumer:
    """All lanes of one driver. Belongs to the event loop in which it was made."""

    def __init__(self, link: Link, declares: Topology, names: Names, publisher: Publisher, prefetch: int) -> None:
        self.shelf = Shelf[Delivery]()
        self._link = link
        self._topology = declares
        self._names = names
        self._publisher = publisher
        publisher.on_missing = self._end
        self._prefetch = prefetch
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[str, Lane] = {}
        self.receipts = Receipts()
        self._starting: dict[str, asyncio.Lock] = {}
        self._background: set[asyncio.Future[None]] = set()
        self._trusted_until = 0.0  # what came back is handed out as it was pushed
        self.aside = Aside(link, self._start_again, self.shelf.wake)
        self.parking = Parking(self.shelf, lambda queues: self._keep_running(self._give_back_parked(queues)))

    def supplied(self, queue: str, room: int) -> bool:
        """Whether this queue's messages are being pushed to us, or we have as many as there is room for."""
        lane = self._lanes.get(queue)
        return lane is not None and lane.alive and lane.supplied(room, self.shelf.count(queue), self._total(lane, room))

    async def supply(self, queue: str, room: int) -> None:
        """Let this queue's messages be pushed to us, unless it is left aside. Raises `ConnectionLost`."""
        async with self._starting.setdefault(queue, asyncio.Lock()):
            if queue in self.aside:
                return
            lane = self._lanes.get(queue)
            link = await self._open_link(queue, new=lane is None or not lane.alive)
            with self.aside.noticing(queue):
                lane = self._lanes[queue] = await within(link, self._lane(queue, link))
                await within(link, lane.supply(room, self.shelf.count(queue), self._total(lane, room)))

    async def _open_link(self, queue: str, *, new: bool) -> Link:
        """The connection for this queue, open: who cannot even connect learns nothing of the queue."""
        await within(self._link, self._link.opened())  # first of all, for there may be a limit of connections
        link = self.aside.link(queue, new=new)
        if new and link is not self._link:
            try:
                await within(link, link.opened())
            except ConnectionLost:
                self.aside.leave(queue)  # better with the others than not at all
        return self.aside.link(queue)

    def quiet(self, queue: str) -> bool:
        """Whether nothing of this queue is on its way to us."""
        lane = self._lanes.get(queue)
        return lane is not None and lane.quiet

    async def look(self, queue: str, wanted: int) -> None:
        """Return when what is ready has arrived, or as much as is wanted."""
        while lane := self._lanes.get(queue):
            await within(lane.link, lane.settle_down(lambda: self.shelf.count(queue) >= wanted))
            if self.shelf.count(queue) >= wanted or not lane.full or self.supplied(queue, wanted):
                return
            await self.supply(queue, wanted)  # there may be more than its consumer may have

    def came_back(self, queues: Mapping[str, int], limit: int) -> bool:
        """Whether `take` would hand out now what has to be set apart."""
        return any(map(self._came_back, self.shelf.next(queues, limit)))

    async def set_apart(self, queue: str) -> None:
        """Move what came back to where nothing is pushed."""
        if found := self.shelf.pick(queue, self._came_back):
            try:
                await self._move(found, "", self._names.redelivered(queue))
            except ConnectionLost:
                # The broker may be full, and only who takes something out mends that: for a while they go as they are.
                self._trusted_until = self._loop.time() + 10 * self._link.timeout
                return
        if lane := self._lanes.get(queue):
            lane.expect()

    def due(self, queue: str) -> bool:
        """Whether it is time to look for what was set apart."""
        lane = self._lanes.get(queue)
        return lane is not None and lane.alive and lane.due

    def in_turn(self, queues: Iterable[str]) -> list[str]:
        """Of these, the one that was not looked at for longest, if it is due; and who waits for too long, too."""
        due = [self._lanes[queue] for queue in queues if self.due(queue)]
        due.sort(key=lambda lane: lane.unseen, reverse=True)
        late = sum(lane.unseen >= AT_LAST for lane in due)
        return [lane.queue for lane in due[: max(1, late)]]

    async def fetch(self, queue: str) -> bool:
        """Put one that was set apart on the shelf, before all others; whether there was one."""
        if (lane := self._lanes.get(queue)) is None:
            return False
        with self.aside.noticing(queue):
            return await within(lane.link, lane.fetch())

    async def seek(self, queue: str) -> None:
        """Wake who waits for this queue if there is something to be fetched."""
        with suppress(ConnectionLost):  # then the lane has ended, and that wakes them
            lane = self._lanes.get(queue)
            if lane is not None and await within(lane.link, lane.seek()):
                self.shelf.wake(queue)

    def take(self, queues: Mapping[str, int], limit: int) -> list[Delivery]:
        """Hand out what has arrived."""
        return [delivery for _, delivery in self.shelf.take(queues, limit)]

    def touch(self, queues: Iterable[str]) -> None:
        """Something was published for these."""
        for queue in queues:
            if lane := self._lanes.get(queue):
                lane.touch()

    async def give_back(self, queues: Iterable[str] | None = None) -> None:
        """Take no more of these queues, and return what nobody has asked for, with its counters, to their ends."""
        if queues is None:
            await self.aside.stop()
        names = list(self._lanes) if queues is None else list(queues)
        lanes = [lane for queue in names if (lane := self._lanes.get(queue)) is not None and lane.alive]
        for lane in lanes:
            self.parking.be_frugal(lane.queue, len(lane.held) - self.shelf.count(lane.queue))
        results = await asyncio.gather(*map(self._paused, lanes), return_exceptions=True)
        for queue in names:
            if queue in self.aside:
                continue  # what a try has brought so far stays until it has worked, or goes with it
            if found := [delivery for _, delivery in self.shelf.clear(queue)]:
                await self._move(found, *self._names.entry(queue, 0))
            self.shelf.wake(queue)  # who waits starts the lane again
        for result in results:
            if result is not None:
                raise result

    async def _paused(self, lane: Lane) -> None:
        with explained(lane.link.address):
            try:
                async with asyncio.timeout(lane.link.timeout):
                    await lane.pause()
            except TimeoutError:  # if it is this queue that is out of order, others of the connection are not
                self._keep_running(lane.abandon())
                raise

    async def purge(self, queue: str) -> int:
        """Forget what is ready, here and at the broker; returns how many those were."""
        await self.aside.without([queue])
        lane = self._lanes.get(queue)
        if lane is not None and lane.alive:
            await within(lane.link, lane.pause())
        dropped = [delivery for _, delivery in self.shelf.clear(queue)]
        if dropped:
            await self.receipts.finish(dropped)
        return len(dropped) + sum([await topology.purge(self._link, name) for name in self._names.waiting(queue)])

    async def ready(self, queue: str) -> int:
        """How many messages are ready, here and at the broker."""
        count = sum([await topology.ready(self._link, name) for name in self._names.waiting(queue)])
        await self.look(queue, 0)
        return count + self.shelf.count(queue)

    async def close(self) -> None:
        """Return what is on the shelf, and wait for what is under way."""
        self.parking.stop()
        await self.aside.stop()
        if self._background:
            await asyncio.wait(self._background)
        if len(self.shelf):
            with suppress(DriverError):
                await self.give_back()
        await self.aside.close()
        self.shelf.clear()
        self.shelf.wake()

    async def _move(self, deliveries: Sequence[Delivery], exchange: str, key: str) -> None:
        """By publishing again, with their counters: sent back, they would count as lost once more."""
        parcels = [
            wire.Parcel(exchange, key, each.queue, each.body, wire.again(each.id, each.attempt, each.lost))
            for each in deliveries
        ]
        try:
            failures = await self._publisher.insist(parcels)
        except AsyncdqError:
            self._keep(deliveries)
            raise
        pairs = list(zip(deliveries, failures, strict=True))
        self._keep([each for each, failure in pairs if failure is not None])
        await self.receipts.finish([each for each, failure in pairs if failure is None])
        raised(failures)

    def _keep(self, deliveries: Iterable[Delivery]) -> None:
        """Back on the shelf, if they are still ours."""
        for each in deliveries:
            if self.receipts.owned(each):
                self.shelf.put(each.queue, each, self._loop.time())
        self.parking.watch()

    async def _start_again(self, queue: str) -> None:
        """Consume what was left aside. Nobody sees its lane before that has worked."""
        link = self.aside.link(queue)
        lane = await within(link, self._lane(queue, link))
        await within(link, lane.supply(1, 0, self._total(lane, 1)))
        await within(link, lane.fetch())  # what came back is in a queue of its own, which may be out of order as well
        self._lanes[queue] = lane

    async def _lane(self, queue: str, link: Link) -> Lane:
        opened = await link.opened()
        lane = self._lanes.get(queue)
        if lane is not None and lane.alive and not lane.missing:
            return lane
        opened.declared.discard(self._names.queue(queue))  # it may have been deleted, and the lane have ended of that
        await self._topology.queue(opened, queue)
        if lane is None or not lane.alive:
            lane = await self._new_lane(queue, link, opened)
        lane.missing = False
        return lane

    async def _new_lane(self, queue: str, link: Link, opened: Opened) -> Lane:
        name, redelivered = self._names.waiting(queue)
        opened.declared.discard(redelivered)  # who asked for it when it was deleted has lost the channel
        await self._topology.kept(opened, redelivered)
        lane = Lane(queue, name, redelivered, link, opened, await opened.channel(), self)
        self.receipts.add(lane)
        return lane

    def _came_back(self, delivery: Delivery) -> bool:
        """Whether it was lost before and was pushed all the same."""
        if not delivery.lost or self._loop.time() < self._trusted_until:
            return False
        return self.receipts.pushed(delivery)

    def _total(self, lane: Lane, room: int) -> int:
        """How many of this queue may be with us, running or on the shelf."""
        if self._prefetch:
            return self._prefetch
        needed = len(lane.held) - self.shelf.count(lane.queue) + room
        return self.parking.buffered(lane.queue, needed)

    def arrived(self, lane: Lane, message: Incoming, tag: int) -> None:
        """It goes to the shelf; what was fetched is the next one there."""
        pushed = lane.held.pushed(tag)
        put = self.shelf.put if pushed else self.shelf.put_first
        put(lane.queue, wire.delivery(lane.queue, message, (lane.number, tag), pushed=pushed), self._loop.time())
        self.parking.watch()

    def interrupted(self, lane: Lane) -> None:
        """A lane consumes no more: who waits for its queue starts it again."""
        self.shelf.wake(lane.queue)

    def ended(self, lane: Lane) -> None:
        """A lane is no more: nothing that it delivered is ours."""
        self.receipts.drop(lane)
        self.shelf.pick(lane.queue, lambda each: each.receipt[0] == lane.number)
        if self._lanes.get(lane.queue) is lane:
            del self._lanes[lane.queue]
            self.aside.leave(lane.queue)
        self.shelf.wake()

    def _end(self, queue: str) -> None:
        """Its queue was deleted. A new queue of the name would push to the old consumer, which would not hear it."""
        if lane := self._lanes.get(queue):
            self._keep_running(lane.abandon())

    def _keep_running(self, work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _give_back_parked(self, queues: Sequence[str]) -> None:
        with suppress(DriverError):  # then it is tried again
            await self.give_back(queues)

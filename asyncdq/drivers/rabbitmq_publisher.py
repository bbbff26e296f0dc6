"""Publishing: on a connection of its own, because a broker that is short of memory or disk stops those who publish."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from ..errors import AsyncdqError, ConnectionLost, DriverError
from ..soon import start_soon
from .rabbitmq_errors import Missing, Unroutable, explained, is_ours
from .rabbitmq_link import Channel, Link, Opened, within
from .rabbitmq_names import Names
from .rabbitmq_topology import Topology
from .rabbitmq_wire import Parcel

Failure = AsyncdqError | None

ABREAST = 32
"""Queues that are declared side by side: one after the other, hundreds of new ones would never be there in time."""


class Publisher:
    """Stores messages, all at once and each confirmed. Belongs to the event loop in which it was made."""

    def __init__(self, link: Link, topology: Topology, names: Names) -> None:
        self._link = link
        self._topology = topology
        self._names = names
        self.on_missing: Callable[[str], None] = lambda queue: None
        self._channel: tuple[Opened, Channel] | None = None
        self._opening = asyncio.Lock()  # who waits for it goes on in the order in which they came
        self._in_line: Counter[str] = Counter()  # by queue, the calls that have not begun to send

    async def publish(self, parcels: Sequence[Parcel]) -> list[Failure]:
        """For each None if it is stored, or what is wrong. Raises if not even one was tried."""
        opened, channel = self._at_hand(parcels) or await self._ready(parcels)
        errors = await self._sent(channel, parcels)
        blocked = False
        if any(isinstance(error, TimeoutError) for error in errors):
            blocked = opened.blocked
            if not blocked:  # else what was sent is stored after the alarm, and each try elsewhere would add to it
                self._link.discard(opened)
        return [None if error is None else self._failure(opened, error, blocked) for error in errors]

    async def insist(self, parcels: Sequence[Parcel]) -> list[Failure]:
        """The same, but what has lost its queue makes it again; `on_missing` is told before."""
        results = await self.publish(parcels)
        missing = [place for place, error in enumerate(results) if error and isinstance(error.__cause__, Unroutable)]
        if missing:
            for queue in {parcels[each].queue for each in missing if parcels[each].exchange == self._names.exchange}:
                self.on_missing(queue)
            for place, result in zip(missing, await self.publish([parcels[each] for each in missing]), strict=True):
                results[place] = result
        return results

    def _at_hand(self, parcels: Sequence[Parcel]) -> tuple[Opened, Channel] | None:
        """The channel, if nothing has to be waited for: that takes turns of the event loop.

        Who came before them goes before them: a queue is first in, first out.
        """
        if self._channel is None or any(parcel.queue in self._in_line for parcel in parcels):
            return None
        opened, channel = self._channel
        if channel.is_closed or not opened.alive or opened.blocked:
            return None
        return self._channel if self._topology.stands(opened, parcels) else None

    async def _ready(self, parcels: Sequence[Parcel]) -> tuple[Opened, Channel]:
        with self._lined_up(parcels):
            return await within(self._link, self._prepared(parcels))

    @contextmanager
    def _lined_up(self, parcels: Sequence[Parcel]) -> Generator[None]:
        queues = {parcel.queue for parcel in parcels}
        self._in_line.update(queues)
        try:
            yield
        finally:
            for queue in queues:
                self._in_line[queue] -= 1
                if not self._in_line[queue]:
                    del self._in_line[queue]

    async def _prepared(self, parcels: Sequence[Parcel]) -> tuple[Opened, Channel]:
        opened = await self._unblocked()
        async with self._opening:
            queues = list({parcel.queue for parcel in parcels if parcel.exchange})
            for at in range(0, len(queues), ABREAST):
                await asyncio.gather(*(self._topology.queue(opened, each) for each in queues[at : at + ABREAST]))
            for exchange in {parcel.exchange for parcel in parcels} - {"", self._names.exchange}:
                await self._topology.ladder(opened, exchange)
            for name in {parcel.key for parcel in parcels if not parcel.exchange}:
                await self._topology.kept(opened, name)
            if self._channel is None or self._channel[0] is not opened or self._channel[1].is_closed:
                self._channel = opened, await opened.channel(confirms=True)
            way = self._channel
            await asyncio.sleep(0)  # what was let go before has begun now, also where it is several
            return way

    async def _unblocked(self) -> Opened:
        """The connection, when the broker lets us publish on it."""
        ends = asyncio.get_running_loop().time() + self._link.timeout * 0.9
        waited = False
        while (opened := await self._link.opened()).blocked:
            waited = True
            try:
                async with asyncio.timeout_at(ends):
                    await opened.unblocked()
            except TimeoutError:
                raise ConnectionLost(_blocked_text(self._link)) from None
        if not waited:
            await asyncio.sleep(0)  # those who have waited go first
        return opened

    async def _sent(self, channel: Channel, parcels: Sequence[Parcel]) -> list[BaseException | None]:
        """What became of each; a TimeoutError is what has no answer yet."""
        if len(parcels) == 1:  # without the task and the turns of the event loop that several take
            return [await _sent_alone(channel, parcels[0], self._link.timeout)]
        trips = [start_soon(_publish(channel, parcel)) for parcel in parcels]
        with self._lined_up(parcels):
            await asyncio.sleep(0)  # they begin in the next turn of the event loop
        _, late = await asyncio.wait(trips, timeout=self._link.timeout)
        if late:
            for trip in late:
                trip.cancel()
            await asyncio.wait(late)
        return [TimeoutError() if trip.cancelled() else trip.exception() for trip in trips]

    def _failure(self, opened: Opened, error: BaseException, blocked: bool) -> AsyncdqError:
        try:
            with explained(self._link.address):
                raise error
        except AsyncdqError as failure:
            if isinstance(error, (Unroutable, Missing)):
                self._topology.forget(opened)
            if blocked and isinstance(error, TimeoutError):
                return ConnectionLost(_blocked_text(self._link))
            return failure


async def _sent_alone(channel: Channel, parcel: Parcel, timeout: float) -> BaseException | None:
    try:
        async with asyncio.timeout(timeout):
            await _publish(channel, parcel)
    except asyncio.CancelledError as error:
        if is_ours():
            raise
        return error
    except Exception as error:
        return error
    return None


async def _publish(channel: Channel, parcel: Parcel) -> None:
    await channel.basic_publish(
        parcel.body,
        exchange=parcel.exchange,
        routing_key=parcel.key,
        properties=parcel.properties,
        mandatory=True,
        wait=False,
    )


def _blocked_text(link: Link) -> str:
    return f"the RabbitMQ at {link.address} takes no messages: it is short of memory or disk (an alarm is set there)"


def raised(failures: Sequence[Failure]) -> None:
    """Raise the first of these errors, if there is one; a lost connection before any other."""
    errors = [failure for failure in failures if failure is not None]
    for error in errors:
        if isinstance(error, ConnectionLost):
            raise error
    for error in errors:
        if isinstance(error, DriverError):
            raise error
        raise DriverError(str(error)) from error

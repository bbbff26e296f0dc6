"""A queue in RabbitMQ: durable quorum queues, pushed to us and kept on a shelf until the worker asks.

What is declared there is explained in `rabbitmq_names.py`, what a message looks like in `rabbitmq_wire.py`,
receipts in `rabbitmq_lane.py`. A lease lasts as long as the channel: the broker knows no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

from ..errors import AsyncdqError, ConfigurationError, DriverError
from ..message import Again, Dead, DeadLetter, Delivery, Done, Limits, Message, Outcome, QueueStats, Unstarted
from . import rabbitmq_wire as wire
from .base import untold
from .rabbitmq_address import OURS, SPARE, Options, parse
from .rabbitmq_lane import AT_LAST, LOOK_AGAIN
from .rabbitmq_link import within
from .rabbitmq_names import LONGEST, Names
from .rabbitmq_publisher import Failure, raised
from .rabbitmq_session import RabbitMQSession, opened
from .session import SessionDriver
from .waiters import announced


class RabbitMQDriver(SessionDriver[RabbitMQSession]):
    """Messages in the RabbitMQ at `url`, in what is named after `exchange_name`.

    At most `prefetch_count` messages of a queue are with this driver, running or waiting for a slot; unset, it is
    twice the most that was asked for at once. A call that is not answered within `timeout` seconds is
    `ConnectionLost`. `consumer_timeout` is the server's: seconds after which it takes back what is unfinished.
    """

    limits = Limits(
        batch=500,
        body=8 * 2**20,
        poll=AT_LAST + LOOK_AGAIN,
        delay=LONGEST,
        hold=1800.0 - SPARE,
        claim_ahead=False,
        ends_leases=False,
        keeps_sent=8,  # with ten slots and a millisecond each way, more bring nothing
        leaves_out=True,
    )

    def __init__(
        self,
        url: str = "amqp://guest:guest@localhost:5672/",
        *,
        exchange_name: str = "asyncdq",
        prefetch_count: int | str | None = None,
        timeout: float | str = 10.0,
        consumer_timeout: float | str = 1800.0,
    ) -> None:
        self._address, said = parse(url)
        given: dict[str, object] = {"exchange_name": exchange_name, "prefetch_count": prefetch_count}
        given |= {"timeout": timeout, "consumer_timeout": consumer_timeout}
        options = Options.of({**given, **said})
        self._names = Names(options.exchange_name)
        self._prefetch = options.prefetch_count
        self._timeout = options.timeout
        self.limits = replace(type(self).limits, hold=options.consumer_timeout - SPARE)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The driver for amqp:// or amqps://. Raises `ConfigurationError`."""
        if unknown := sorted(options.keys() - {*OURS}):
            raise ConfigurationError(
                f"a RabbitMQ driver has no option {', '.join(unknown)}; known are {', '.join(OURS)}"
            )
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._address)!r})"

    async def _open(self) -> RabbitMQSession:
        session = opened(self._address, self._names, self._timeout, self._prefetch)
        try:
            await session.calls.run(within(session.consuming, session.consuming.opened()))
        except BaseException:
            await session.close()
            raise
        return session

    async def _close(self, session: RabbitMQSession) -> None:
        await session.close()

    async def setup(self) -> None:
        """Nothing: queues come into being with the first message, or the first who asks for one."""
        self._here()

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """All at once, each stored when the broker has confirmed it. Ids are not looked at."""
        session = self._here()
        if not messages:
            return []
        parcels = [self._parcel(each.queue, each.delay, each.body, wire.first(each)) for each in messages]
        failures = await session.calls.run(self._publish(session, parcels, {each.queue for each in messages}))
        try:
            raised(failures)
        except DriverError as error:
            pairs = zip(messages, failures, strict=True)
            error.stored = tuple(each for each, failure in pairs if failure is None)
            raise
        return []

    async def _publish(
        self, session: RabbitMQSession, parcels: Sequence[wire.Parcel], queues: set[str]
    ) -> list[Failure]:
        failures = await session.publisher.publish(parcels)
        session.consumer.touch(queues)
        return failures

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Hand out what has been pushed to us. A lower queue has its turn when nothing is on its way from a higher."""
        session = self._here()
        consumer = session.consumer
        while True:
            at_hand = await consumer.aside.without(queue for queue, share in queues.items() if min(share, limit) > 0)
            wanted = {queue: min(queues[queue], limit) for queue in at_hand}
            now = await self._fill(session, wanted, limit)
            if not consumer.came_back(now, limit):
                return consumer.take(now, limit)  # nothing is awaited after this: who gives up has taken nothing

    async def _fill(self, session: RabbitMQSession, wanted: Mapping[str, int], limit: int) -> Mapping[str, int]:
        """Have on the shelf what is there, and of the higher queues all before any of a lower one.

        Returns those of `wanted` that may be handed out now: what was fetched waits for nothing else, not even for
        a second one of its kind.
        """
        consumer = session.consumer
        asked: list[tuple[str, int]] = []
        missing = limit
        for queue, share in wanted.items():
            room = min(share, missing)
            if not consumer.supplied(queue, room):
                await session.calls.run(consumer.supply(queue, room))
            asked.append((queue, room))
            last = len(asked) == len(wanted)
            if consumer.shelf.count(queue) < room and not last and not consumer.quiet(queue):
                await session.calls.run(consumer.look(queue, room))
            if consumer.came_back({queue: room}, room):
                await session.calls.run(consumer.set_apart(queue))
            if consumer.due(queue) and await session.calls.run(consumer.fetch(queue)):
                return {name: wanted[name] for name, _ in asked}
            missing -= min(room, consumer.shelf.count(queue))
            if missing <= 0:
                break
        if asked and missing == limit:  # whoever empties a queue has to know that it is empty
            await asyncio.gather(*(session.calls.run(consumer.look(queue, room)) for queue, room in asked))
        return wanted

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when something of one of `queues` is on the shelf, or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not await self._announced(queues):
                    pass

    async def _announced(self, queues: Sequence[str]) -> bool:
        """True if something of one of `queues` is on the shelf or set apart; False if it is time to look again."""
        session = self._here()
        consumer = session.consumer
        queues = await consumer.aside.without(queues)
        with consumer.shelf.waiting(queues) as woken:
            for queue in queues:
                if not woken.done() and not consumer.supplied(queue, 1):
                    await session.calls.run(consumer.supply(queue, 1))
            for queue in consumer.in_turn(queues):
                if not woken.done():
                    await session.calls.run(consumer.seek(queue))
            return await announced(woken, LOOK_AGAIN)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Publish what goes on, then acknowledge: a crash between duplicates."""
        return await self.settle_telling(outcomes, untold)

    async def settle_telling(
        self, outcomes: Sequence[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        """`settle`; the broker carries out a few acknowledgements of one queue though its client dies."""
        session = self._here()
        ours = [pair for pair in outcomes if session.consumer.receipts.begin(pair[0])]
        gone = await session.calls.run(self._settle(session, ours, sent)) if ours else []
        accepted = {id(delivery) for delivery, _ in ours} - {id(delivery) for delivery in gone}
        return [delivery for delivery, _ in outcomes if id(delivery) not in accepted]

    async def _settle(
        self, session: RabbitMQSession, outcomes: list[tuple[Delivery, Outcome]], sent: Callable[[], None]
    ) -> list[Delivery]:
        await session.consumer.receipts.check(delivery for delivery, _ in outcomes)
        lost = [delivery for delivery, _ in outcomes if not session.consumer.receipts.owned(delivery)]
        outcomes = [pair for pair in outcomes if pair[0] not in lost]
        going_on = [(delivery, outcome) for delivery, outcome in outcomes if not isinstance(outcome, Done)]
        returned = {delivery.queue for delivery, outcome in going_on if isinstance(outcome, Unstarted)}
        failures: list[Failure] = []
        try:
            if returned:  # there is no room for them here, so they must not come back to us at once
                await session.consumer.give_back(returned)
            if going_on:
                failures = await session.publisher.insist([self._next(*each) for each in going_on])
        except AsyncdqError as error:
            failures = [error] * len(going_on)
        failed = {id(pair[0]) for pair, failure in zip(going_on, failures, strict=True) if failure is not None}
        session.consumer.receipts.undo(delivery for delivery, _ in outcomes if id(delivery) in failed)
        session.consumer.touch({delivery.queue for delivery, _ in going_on})
        done = [delivery for delivery, _ in outcomes if id(delivery) not in failed]
        session.consumer.parking.spend(done)
        lost += await session.consumer.receipts.finish(done, untold if failed else sent)
        raised(failures)
        return lost

    def _next(self, delivery: Delivery, outcome: Outcome) -> wire.Parcel:
        if isinstance(outcome, Dead):
            properties = wire.buried(delivery, outcome)
            return wire.Parcel("", self._names.dead(delivery.queue), delivery.queue, delivery.body, properties)
        assert not isinstance(outcome, Done)
        attempt, lost = delivery.attempt, delivery.lost
        if isinstance(outcome, Again):
            attempt, lost = attempt + outcome.counted, 0
        again = wire.again(delivery.id, attempt, lost)
        return self._parcel(delivery.queue, outcome.delay, delivery.body, again)

    def _parcel(self, queue: str, delay: float, body: bytes, properties: Any) -> wire.Parcel:
        return wire.Parcel(*self._names.entry(queue, delay), queue, body, properties)

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """A lease lasts as long as its channel: says whose channel is gone, or who has settled."""
        receipts = self._here().consumer.receipts
        return [delivery for delivery in deliveries if not receipts.owned(delivery)]

    async def give_back(self) -> None:
        """Stop consuming, and publish what is on the shelf again, with its counters."""
        session = self._here()
        await session.calls.run(session.consumer.give_back())

    async def queues(self) -> None:
        """RabbitMQ does not tell its clients."""
        self._here()

    async def stats(self, queue: str) -> QueueStats:
        """What is delayed is in the ladder, for all queues; what is on another driver's shelf is not counted."""
        session = self._here()
        ready, dead = await asyncio.gather(
            session.calls.run(session.consumer.ready(queue)), session.calls.run(session.graveyard.count(queue))
        )
        return QueueStats(ready, None, None, dead)

    async def purge(self, queue: str) -> int:
        """Delete what is ready, here and at the broker; not what is delayed, nor what other workers have buffered."""
        session = self._here()
        return await session.calls.run(session.consumer.purge(queue))

    async def dead(self, queue: str, limit: int, after: str | None = None) -> list[DeadLetter]:
        """Up to `limit` dead letters, the oldest first; reads all of them."""
        session = self._here()

        async def page() -> list[DeadLetter]:
            async with session.graveyard.open(queue) as graves:
                return graves.page(limit, after)

        return await session.calls.run(page())

    async def dead_letter(self, queue: str, id: str) -> DeadLetter | None:
        """One dead letter, or None; reads all of them."""
        return next((letter for letter in await self.dead(queue, 65535) if letter.id == id), None)

    async def requeue(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Sent first, deleted second: a crash between duplicates."""
        session = self._here()

        async def move() -> list[str]:
            async with session.graveyard.open(queue) as graves:
                found = [id for id in dict.fromkeys(ids) if id in graves.graves]
                letters = [graves.graves[id].letter for id in found]
                parcels = [self._parcel(queue, 0, each.body, wire.again(each.id, 1, 0)) for each in letters]
                failures = await session.publisher.insist(parcels) if parcels else []
                moved = [id for id, failure in zip(found, failures, strict=True) if failure is None]
                await graves.forget(moved)
                raised(failures)
                return moved

        moved = await session.calls.run(move())
        session.consumer.touch([queue])
        return moved

    async def delete_dead(self, queue: str, ids: Sequence[str]) -> list[str]:
        """Forget these; return the ids that were there."""
        session = self._here()

        async def forget() -> list[str]:
            async with session.graveyard.open(queue) as graves:
                found = [id for id in dict.fromkeys(ids) if id in graves.graves]
                await graves.forget(found)
                return found

        return await session.calls.run(forget())

"""What a RabbitMQ driver has between `connect` and `disconnect`: a connection to consume on, one to publish on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from .calls import Calls
from .rabbitmq_address import Address
from .rabbitmq_consumer import Consumer
from .rabbitmq_dead import Graveyard
from .rabbitmq_link import Link
from .rabbitmq_names import Names
from .rabbitmq_publisher import Publisher
from .rabbitmq_topology import Topology
from .session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitMQSession(Session):
    """Belongs to the event loop in which it was made."""

    consuming: Link
    publishing: Link
    consumer: Consumer
    publisher: Publisher
    graveyard: Graveyard
    calls: Calls = field(default_factory=Calls)

    async def close(self) -> None:
        """Finish what is under way, give back what is on the shelf, and close the connections."""
        await self.calls.ended()
        await self.consumer.close()
        await asyncio.gather(self.consuming.close(), self.publishing.close())


def opened(address: Address, names: Names, timeout: float, prefetch: int) -> RabbitMQSession:
    """A new one; its connections open when they are needed."""
    consuming = Link(address, timeout)
    publishing = Link(address, timeout, beside=consuming)
    declares = Topology(names)
    publisher = Publisher(publishing, declares, names)
    return RabbitMQSession(
        consuming=consuming,
        publishing=publishing,
        consumer=Consumer(consuming, declares, names, publisher, prefetch),
        publisher=publisher,
        graveyard=Graveyard(consuming, names),
    )

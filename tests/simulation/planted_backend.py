"""Bugs, planted in the driver and in the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncdq.message import Delivery, Done, Outcome

from .scripted import ScriptedDriver
from .server import Row, Server


class EarlyOutcome(ScriptedDriver):
    """Every message is done as soon as it is claimed."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Claim, and settle at once."""
        claimed = await super().dequeue(queues, limit, lease)
        await super().settle([(delivery, Done()) for delivery in claimed])
        return claimed

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """It was done long ago."""
        return []

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """No need."""
        return []


class Unfenced(Server):
    """Whoever once held a message may settle it."""

    def _owned(self, delivery: Delivery) -> Row | None:
        return self.rows.get((delivery.queue, delivery.id))


class Twofold(Server):
    """A claim hides nothing for its first seconds."""

    def _hand_out(self, row: Row, lease: float) -> Delivery:
        delivery = super()._hand_out(row, lease)
        row.due = self.now
        return delivery


class Impatient(Server):
    """A retry is ready at once, whatever its delay."""

    def _release(self, row: Row, delay: float) -> None:
        super()._release(row, 0.0)


class Blaming(Server):
    """A lost lease counts twice."""

    def _hand_out(self, row: Row, lease: float) -> Delivery:
        row.lost += row.token is not None
        return super()._hand_out(row, lease)

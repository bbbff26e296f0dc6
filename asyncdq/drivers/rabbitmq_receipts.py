"""Whose a delivery is: a receipt is the number of a lane and a tag on its channel, and dies with the lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from ..message import Delivery
from .base import untold
from .rabbitmq_lane import Lane
from .rabbitmq_link import within


class Receipts:
    """The lanes by their numbers, and what may still be said of their deliveries."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}

    def add(self, lane: Lane) -> None:
        """From now on its deliveries are known."""
        self._lanes[lane.number] = lane

    def drop(self, lane: Lane) -> None:
        """Nothing that it delivered is ours."""
        self._lanes.pop(lane.number, None)

    def find(self, delivery: Delivery) -> tuple[Lane | None, int]:
        """The lane, if that lives, and the tag."""
        number, tag = delivery.receipt
        lane = self._lanes.get(number)
        return (lane if lane is not None and lane.alive else None), tag

    def owned(self, delivery: Delivery) -> bool:
        """Whether it is still ours to settle, or is being settled."""
        lane, tag = self.find(delivery)
        return lane is not None and tag in lane.held

    def pushed(self, delivery: Delivery) -> bool:
        """Whether it is ours and was pushed to us, not fetched."""
        lane, tag = self.find(delivery)
        return lane is not None and lane.held.pushed(tag)

    def begin(self, delivery: Delivery) -> bool:
        """Whether this call may settle it: nobody else can from now on."""
        lane, tag = self.find(delivery)
        return lane is not None and lane.held.begin(tag)

    async def check(self, deliveries: Iterable[Delivery]) -> None:
        """After a long silence, see whether the broker still knows us; who does not ask settles what is not his."""
        lanes = {lane for each in deliveries if (lane := self.find(each)[0]) is not None and lane.stale}
        await asyncio.gather(*(within(lane.link, lane.probe()) for lane in lanes), return_exceptions=True)

    def undo(self, deliveries: Iterable[Delivery]) -> None:
        """They could not be settled, and may be again."""
        for delivery in deliveries:
            lane, tag = self.find(delivery)
            if lane is not None:
                lane.held.undo(tag)

    async def finish(self, deliveries: Sequence[Delivery], sent: Callable[[], None] = untold) -> list[Delivery]:
        """Forget them for good; returns those that were not ours any more, so that nothing was sent.

        `sent` hears when all are on their way. Raises `ConnectionLost` if the broker may have heard it or not.
        """
        mine: dict[Lane, list[int]] = {}
        gone: list[Delivery] = []
        for delivery in deliveries:
            lane, tag = self.find(delivery)
            if lane is None:
                gone.append(delivery)
                continue
            mine.setdefault(lane, []).append(tag)
        told = sent if len(mine) == 1 else untold  # of several channels none is the last
        calls = [within(lane.link, lane.acknowledge(tags, told)) for lane, tags in mine.items()]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        return gone

"""Bugs, planted: drivers that break one promise each. A harness that does not catch them catches nothing.

A worker process that is started with this module beside those of the tasks, and with FAULTS_PLANTED set to the name of
a bug, works on the driver of its URL with that bug: the table of drivers leads there.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from asyncdq import drivers
from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Delivery, Done, Message, Outcome, QueueStats
from asyncdq.url import driver_of

VARIABLE = "FAULTS_PLANTED"
PLANTED = __name__

REAL = drivers.BACKENDS


class Honest(BaseDriver):
    """A driver before a real one, which does all the work."""

    def __init__(self, real: BaseDriver) -> None:
        self.real = real
        self.limits = real.limits

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Before the one of this URL."""
        (backend,) = [backend for backend in REAL if backend.name == driver_of(url)]
        return cls(backend.load().from_url(url, **options))

    @property
    def connected(self) -> bool:
        """As the real one."""
        return self.real.connected

    async def connect(self) -> None:
        """As the real one."""
        await self.real.connect()

    async def disconnect(self) -> None:
        """As the real one."""
        await self.real.disconnect()

    async def setup(self) -> None:
        """As the real one."""
        await self.real.setup()

    async def enqueue(self, messages: Sequence[Message]) -> list[Message]:
        """As the real one."""
        return await self.real.enqueue(messages)

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """As the real one."""
        return await self.real.dequeue(queues, limit, lease)

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """As the real one."""
        await self.real.wait(queues, timeout)

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """As the real one."""
        return await self.real.settle(outcomes)

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """As the real one."""
        return await self.real.extend(deliveries, lease)

    async def give_back(self) -> None:
        """As the real one."""
        await self.real.give_back()

    async def queues(self) -> list[str] | None:
        """As the real one."""
        return await self.real.queues()

    async def stats(self, queue: str) -> QueueStats:
        """As the real one."""
        return await self.real.stats(queue)

    async def purge(self, queue: str) -> int | None:
        """As the real one."""
        return await self.real.purge(queue)


class EarlyOutcome(Honest):
    """The outcome is sent before the run."""

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


class NoLease(Honest):
    """A claim hides nothing, and nobody hears of it."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Claim, and let go."""
        claimed = await super().dequeue(queues, limit, lease)
        await super().settle([(delivery, Again(0.0, counted=False)) for delivery in claimed])
        return claimed

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Nobody's."""
        return []

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """Nothing to extend."""
        return []


class NoFence(Honest):
    """Whoever once held a message may settle and extend it: the newest receipts lie in the working directory."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Claim, and tell everybody."""
        claimed = await super().dequeue(queues, limit, lease)
        for delivery in claimed:
            file = Path(f"receipt-{delivery.id}")
            new = file.with_suffix(f".{os.getpid()}")
            new.write_bytes(pickle.dumps(delivery.receipt))
            new.replace(file)
        return claimed

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """In the name of the owner."""
        names = {self._owned(delivery): delivery for delivery, _ in outcomes}
        refused = await super().settle(list(zip(names, (outcome for _, outcome in outcomes), strict=True)))
        return [names[delivery] for delivery in refused]

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """In the name of the owner."""
        names = {self._owned(delivery): delivery for delivery in deliveries}
        return [names[delivery] for delivery in await super().extend(list(names), lease)]

    def _owned(self, delivery: Delivery) -> Delivery:
        return replace(delivery, receipt=pickle.loads(Path(f"receipt-{delivery.id}").read_bytes()))


class DoubleClaim(Honest):
    """Every message is handed out twice."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Claim, and copy."""
        claimed = await super().dequeue(queues, limit, lease)
        return [*claimed, *(replace(delivery) for delivery in claimed)]


class WrongOrder(Honest):
    """The least important queue comes first."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """From behind."""
        return await super().dequeue(dict(list(queues.items())[::-1]), limit, lease)


class ForgottenDelay(Honest):
    """What is to come again later comes at once."""

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Without the pauses."""
        hasty = [
            (delivery, replace(outcome, delay=0.0) if isinstance(outcome, Again) else outcome)
            for delivery, outcome in outcomes
        ]
        return await super().settle(hasty)


class DroppedOutcome(Honest):
    """What is still to be written when the worker ends is not written."""

    ending = False

    async def give_back(self) -> None:
        """From here on nothing is."""
        self.ending = True
        await super().give_back()

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """While it works."""
        return [] if self.ending else await super().settle(outcomes)


class NeighbourBuried(Honest):
    """Whoever was lost once is to blame for everything."""

    async def dequeue(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """Blame them."""
        claimed = await super().dequeue(queues, limit, lease)
        return [replace(delivery, lost=delivery.lost * 99) for delivery in claimed]


BUGS = {
    bug.__name__: bug
    for bug in (
        EarlyOutcome,
        NoLease,
        NoFence,
        DoubleClaim,
        WrongOrder,
        ForgottenDelay,
        DroppedOutcome,
        NeighbourBuried,
    )
}


if VARIABLE in os.environ:
    bug = BUGS[os.environ[VARIABLE]].__name__
    vars(drivers)["BACKENDS"] = tuple(replace(backend, module=__name__, class_name=bug) for backend in REAL)

"""Emptying a queue by receiving what is ready. SQS's own purge takes what is leased as well.

What somebody had and said nothing of is not deleted, but sent anew with its counters, and marked.
"""

from __future__ import annotations

from ..message import Delivery
from .sqs_batches import MOST, Batches
from .sqs_envelope import entry, text
from .sqs_intake import Intake

AT_ONCE = 10 * MOST
"""Messages."""


async def purge(queue: str, ready: int, intake: Intake, batches: Batches) -> int:
    """Delete up to `ready` messages; return how many. Raises `DriverError`."""
    deleted = 0
    spared: list[Delivery] = []
    try:
        # Counted before: with producers that go on, a queue that one waits to see empty might never be.
        while (rest := ready - deleted - len(spared)) > 0:
            found = await intake.take(queue, min(rest, AT_ONCE))
            if not found:
                break
            spared += [each for each in found if each.receipt.again]
            gone = [each for each in found if not each.receipt.again]
            deleted += await _delete(queue, gone, batches)
    finally:
        await _send_back(queue, spared, batches)
    return deleted


async def _delete(queue: str, found: list[Delivery], batches: Batches) -> int:
    errors = await batches.delete(queue, [each.receipt.handle for each in found])
    for error in filter(None, errors):
        raise error
    return len(found)


async def _send_back(queue: str, spared: list[Delivery], batches: Batches) -> None:
    copies = [entry(text(each.body), each.id, each.attempt, each.lost, 0.0, 0, spared=True) for each in spared]
    sent = await batches.send(queue, copies)
    done = [each for each, error in zip(spared, sent, strict=True) if error is None]  # the others come by themselves
    await _delete(queue, done, batches)

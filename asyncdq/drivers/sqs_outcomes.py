"""What becomes of deliveries: sent again first and deleted second, or only deleted, or hidden for longer.

SQS does not promise to refuse an outdated handle. So nothing is written once the time has passed until which the
message is surely ours; what SQS does refuse is answered as lost too. A call that failed half-way remembers in the
receipt how far it came: repeated, it goes on there, and sends nothing twice. What is sent cannot be taken back, for a
sending yields no handle; so a lease that may end between the two steps is extended before the first.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from ..errors import AsyncdqError, DriverError
from ..message import Again, Dead, Delivery, Done, Outcome, Unstarted
from .sqs_batches import Batches
from .sqs_envelope import Claim, entry, obituary, text
from .sqs_errors import Gone, NotOurs
from .sqs_queues import DEAD

LONGEST_HOLD = 12 * 3600
"""Seconds from its receipt for which SQS hides a message at most, however often that is extended."""

SURE = 10
"""Seconds of lease that are enough to send and delete."""

Verdict = tuple[Delivery, Outcome]


def hidden_for(seconds: float, claim: Claim | None = None, now: float = 0.0) -> int:
    """Whole seconds, never fewer than asked for unless SQS takes no more."""
    spent = 0.0 if claim is None else now - claim.received
    return max(0, min(ceil(seconds), LONGEST_HOLD - ceil(spent)))


@dataclass(slots=True)
class Outcomes:
    """Writes for one driver; `longest` is the most seconds of delay that one sending may have."""

    batches: Batches
    longest: int

    async def settle(self, verdicts: Sequence[Verdict]) -> list[Delivery]:
        """Write these; return those that were not ours. Raises the first error when the others are written."""
        now = asyncio.get_running_loop().time()
        refused: set[Delivery] = set()
        by_queue: dict[str, list[Verdict]] = defaultdict(list)
        for delivery, outcome in verdicts:
            match _admitted(delivery.receipt, outcome, now):
                case True:
                    by_queue[delivery.queue].append((delivery, outcome))
                case False:
                    refused.add(delivery)
                case None:
                    pass  # written by an earlier call, which had to raise
        answers = await asyncio.gather(*(self._write(queue, own) for queue, own in by_queue.items()))
        failed: list[AsyncdqError] = []
        for errors, own in zip(answers, by_queue.values(), strict=True):
            for error, (delivery, _) in zip(errors, own, strict=True):
                if isinstance(error, (NotOurs, Gone)):
                    refused.add(delivery)
                elif error is not None:
                    delivery.receipt.outcome = None
                    failed.append(error)
        if failed:
            for own in by_queue.values():
                for delivery, _ in own:
                    delivery.receipt.told = delivery in refused
            raise failed[0]
        return [delivery for delivery, _ in verdicts if delivery in refused]

    async def extend(self, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
        """Hide these for `lease` seconds from now; return those that are not ours. Raises like `settle`."""
        now = asyncio.get_running_loop().time()
        by_queue: dict[str, list[tuple[Delivery, int]]] = defaultdict(list)
        refused: set[Delivery] = set()
        for delivery in deliveries:
            claim: Claim = delivery.receipt
            seconds = hidden_for(lease, claim, now)
            if claim.outcome is not None or now >= claim.deadline or not seconds:
                refused.add(delivery)
                continue
            claim.deadline = min(claim.deadline, now + seconds)  # until the answer says that it is later
            by_queue[delivery.queue].append((delivery, seconds))
        calls = (
            self.batches.hide(queue, [(each.receipt.handle, seconds) for each, seconds in own])
            for queue, own in by_queue.items()
        )
        failed: list[AsyncdqError] = []
        for errors, own in zip(await asyncio.gather(*calls), by_queue.values(), strict=True):
            for error, (delivery, seconds) in zip(errors, own, strict=True):
                if error is None:
                    delivery.receipt.deadline = now + seconds
                elif isinstance(error, (NotOurs, Gone)):
                    refused.add(delivery)
                else:
                    failed.append(error)
        if failed:
            raise failed[0]
        return [delivery for delivery in deliveries if delivery in refused]

    async def _write(self, queue: str, verdicts: list[Verdict]) -> list[AsyncdqError | None]:
        errors: list[AsyncdqError | None] = [None] * len(verdicts)
        sent = {
            place: copy
            for place, (delivery, outcome) in enumerate(verdicts)
            if not delivery.receipt.copied and (copy := self._copy(delivery, outcome)) is not None
        }
        copies: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        unsure = await self._make_sure(queue, [verdicts[place][0].receipt for place in sent])
        for (place, copy), error in zip(sent.items(), unsure, strict=True):
            errors[place] = error
            if error is None:
                copies[queue + DEAD if isinstance(verdicts[place][1], Dead) else queue].append((place, copy))
        calls = (self.batches.send(target, [copy for _, copy in own]) for target, own in copies.items())
        for answer, own in zip(await asyncio.gather(*calls), copies.values(), strict=True):
            for error, (place, _) in zip(answer, own, strict=True):
                # Of the message itself, this would mean that it is not ours.
                errors[place] = DriverError(str(error)) if isinstance(error, Gone) else error
                verdicts[place][0].receipt.copied = error is None
        written = [place for place, error in enumerate(errors) if error is None]
        handles = [verdicts[place][0].receipt.handle for place in written]
        for place, error in zip(written, await self.batches.delete(queue, handles), strict=True):
            errors[place] = error
        return errors

    async def _make_sure(self, queue: str, claims: Sequence[Claim]) -> list[AsyncdqError | None]:
        """Let each be ours for as long as the two steps may take; for each an error or None."""
        now = asyncio.get_running_loop().time()
        errors: list[AsyncdqError | None] = [None] * len(claims)
        wanted = [(place, hidden_for(SURE, claim, now)) for place, claim in enumerate(claims)]
        short = [(place, seconds) for place, seconds in wanted if claims[place].deadline < now + seconds]
        answer = await self.batches.hide(queue, [(claims[place].handle, seconds) for place, seconds in short])
        for (place, seconds), error in zip(short, answer, strict=True):
            errors[place] = error
            if error is None:
                claims[place].deadline = now + seconds
        return errors

    def _copy(self, delivery: Delivery, outcome: Outcome) -> dict[str, Any] | None:
        match outcome:
            case Done():
                return None
            case Again(delay, counted):
                attempt, lost = delivery.attempt + counted, 0
            case Unstarted(delay):
                attempt, lost = delivery.attempt, delivery.lost
            case Dead():
                return obituary(delivery, outcome)
        return entry(text(delivery.body), delivery.id, attempt, lost, delay, self.longest)


def _admitted(claim: Claim, outcome: Outcome, now: float) -> bool | None:
    """Whether this outcome may be written now; None if it was, and nobody has been told."""
    if claim.outcome is not None:
        untold, claim.told = not claim.told and claim.outcome == outcome, True
        return None if untold else False
    if now >= claim.deadline and not claim.copied:
        return False
    claim.outcome = outcome
    return True

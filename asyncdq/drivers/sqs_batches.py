"""Entries in calls of ten, several calls at a time; what SQS refuses of a call is looked at entry by entry."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import AsyncdqError, ConnectionLost
from .sqs_envelope import LARGEST, size
from .sqs_errors import Busy, refusal
from .sqs_queues import Queues

MOST = 10
"""Entries that one call takes."""

AT_ONCE = 10
"""Calls of one kind that are under way together."""

TRIES = 4
FIRST_PAUSE = 0.1  # seconds, doubled for each try

Entry = Mapping[str, Any]


class Batches:
    """Sends, deletes and changes of visibility."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def send(self, queue: str, entries: Sequence[Entry]) -> list[AsyncdqError | None]:
        """Store these; for each an error, or None if it is stored."""
        return await self._all("send_message_batch", queue, entries, [size(each) for each in entries])

    async def delete(self, queue: str, handles: Sequence[str]) -> list[AsyncdqError | None]:
        """Forget these; for each an error, or None if it is gone."""
        entries = [{"ReceiptHandle": handle} for handle in handles]
        return await self._all("delete_message_batch", queue, entries, [0] * len(entries))

    async def hide(self, queue: str, handles: Sequence[tuple[str, int]]) -> list[AsyncdqError | None]:
        """Let each be hidden for so many seconds from now; for each an error or None."""
        entries = [{"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle, seconds in handles]
        return await self._all("change_message_visibility_batch", queue, entries, [0] * len(entries))

    async def _all(
        self, operation: str, queue: str, entries: Sequence[Entry], sizes: Sequence[int]
    ) -> list[AsyncdqError | None]:
        parts = [entries[at:to] for at, to in _parts(sizes)]
        answers = await asyncio.gather(*(self._persist(operation, queue, part) for part in parts))
        return [error for answer in answers for error in answer]

    async def _persist(self, operation: str, queue: str, entries: Sequence[Entry]) -> list[AsyncdqError | None]:
        """Try again what SQS asks to try again, for about a second."""
        errors: list[AsyncdqError | None] = [None] * len(entries)
        left = list(range(len(entries)))
        for number in range(TRIES):
            if number:
                await asyncio.sleep(FIRST_PAUSE * 2.0 ** (number - 1) * random.uniform(0.5, 1.0))
            answer = await self._once(operation, queue, [entries[place] for place in left])
            for place, error in zip(left, answer, strict=True):
                errors[place] = error
            left = [place for place in left if isinstance(errors[place], Busy)]
            if not left:
                break
        return errors

    async def _once(self, operation: str, queue: str, entries: Sequence[Entry]) -> list[AsyncdqError | None]:
        numbered = [{"Id": f"{number}", **each} for number, each in enumerate(entries)]
        try:
            async with self._turns:
                answer = await self._queues.call(operation, queue, Entries=numbered)
        except AsyncdqError as error:
            return [error] * len(entries)
        unheard = ConnectionLost(f"SQS says nothing of an entry of {operation}")
        errors: list[AsyncdqError | None] = [unheard] * len(entries)
        for good in answer.get("Successful", []):
            errors[int(good["Id"])] = None
        for bad in answer.get("Failed", []):
            code, said = str(bad.get("Code", "")), str(bad.get("Message", ""))
            trouble = not bad.get("SenderFault", True)
            errors[int(bad["Id"])] = refusal(code, said, operation, f"the queue {queue}", trouble)
        return errors


def _parts(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """From where to where the entries go into one call."""
    begin = total = 0
    for place, each in enumerate(sizes):
        if place > begin and (place - begin == MOST or total + each > LARGEST):
            yield begin, place
            begin, total = place, 0
        total += each
    if sizes:
        yield begin, len(sizes)

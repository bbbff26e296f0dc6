"""The dead letters of a queue, in a queue beside it: read by receiving them all and letting them go again.

So two readers at a time see a part each, and a page costs as many calls as the list has tens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..message import DeadLetter
from .sqs_batches import MOST, Batches
from .sqs_envelope import ATTRIBUTE, SYSTEM, entry, letter, text
from .sqs_queues import DEAD, Queues

HIDDEN = 60
"""Seconds for which letters are hidden while a list is read, at least."""

SLOWEST = 50
"""Letters in a second: who reads fewer meets those again that he began with, and may never come to the end."""

AT_ONCE = 5
"""Calls under way together."""

MOST_LETTERS = 10_000
"""That are looked at."""


@dataclass(slots=True)
class Found:
    """One letter with all its handles: an id that was buried again has an older letter, which nobody sees."""

    letter: DeadLetter
    handles: list[str]


@dataclass(slots=True)
class Taken:
    """All letters by id, the oldest first, and the handles of what is hidden from others."""

    found: dict[str, Found]
    handles: set[str]

    def these(self, ids: Collection[str]) -> list[Found]:
        """Those of these ids that are there, in that order."""
        return [self.found[id] for id in dict.fromkeys(ids) if id in self.found]


class Letters:
    """Reads, moves and forgets dead letters."""

    def __init__(self, queues: Queues, batches: Batches) -> None:
        self._queues = queues
        self._batches = batches

    async def read(self, queue: str) -> list[DeadLetter]:
        """All, the oldest first."""
        async with self._taken(queue) as taken:
            return [each.letter for each in taken.found.values()]

    async def requeue(self, queue: str, ids: Collection[str]) -> list[str]:
        """Send these anew, then forget them; return those that were there."""
        async with self._taken(queue) as taken:
            chosen = taken.these(ids)
            entries = [entry(text(each.letter.body), each.letter.id, 1, 0, 0.0, 0) for each in chosen]
            errors = await self._batches.send(queue, entries)
            sent = [each for each, error in zip(chosen, errors, strict=True) if error is None]
            await self._forget(queue, taken, sent)
            for error in filter(None, errors):
                raise error
            return [each.letter.id for each in sent]

    async def delete(self, queue: str, ids: Collection[str]) -> list[str]:
        """Forget these; return those that were there."""
        async with self._taken(queue) as taken:
            chosen = taken.these(ids)
            await self._forget(queue, taken, chosen)
            return [each.letter.id for each in chosen]

    async def _forget(self, queue: str, taken: Taken, chosen: list[Found]) -> None:
        handles = [handle for each in chosen for handle in each.handles]
        errors = await self._batches.delete(queue + DEAD, handles)
        taken.handles -= {handle for handle, error in zip(handles, errors, strict=True) if error is None}
        for error in filter(None, errors):
            raise error

    @asynccontextmanager
    async def _taken(self, queue: str) -> AsyncGenerator[Taken]:
        """Everything that is dead in this queue; what is not forgotten meanwhile is let go."""
        taken = Taken({}, set())
        try:
            for one, handle in await self._receive_all(queue, taken.handles):
                older = taken.found.pop(one.id, None)
                taken.found[one.id] = Found(one, [handle, *(older.handles if older else ())])
            yield taken
        finally:
            if taken.handles:
                await self._batches.hide(queue + DEAD, [(handle, 0) for handle in taken.handles])

    async def _receive_all(self, queue: str, handles: set[str]) -> list[tuple[DeadLetter, str]]:
        came: list[tuple[DeadLetter, str]] = []
        counted = await self._queues.attributes(queue + DEAD, "ApproximateNumberOfMessages")
        hidden = max(HIDDEN, int(counted.get("ApproximateNumberOfMessages", 0)) // SLOWEST)
        at_once, wait = 1, 0
        while counted and len(handles) < MOST_LETTERS:
            asked = (self._receive(queue, wait, hidden) for _ in range(at_once))
            answers = await asyncio.gather(*asked, return_exceptions=True)
            messages = [message for answer in answers if not isinstance(answer, BaseException) for message in answer]
            handles.update(str(message["ReceiptHandle"]) for message in messages)  # first: they are let go in any case
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            if not messages and (wait or len(handles) >= int(counted["ApproximateNumberOfMessages"])):
                break
            wait = 0 if messages else 1  # AWS asks all of its servers only if it may wait
            came += [(one, str(each["ReceiptHandle"])) for each in messages if (one := letter(each, queue)) is not None]
            at_once = AT_ONCE if len(messages) == MOST * at_once else 1
        return sorted(came, key=lambda each: each[0].died_at)

    async def _receive(self, queue: str, wait: int, hidden: int) -> list[dict[str, object]]:
        answer = await self._queues.call(
            "receive_message",
            queue + DEAD,
            MaxNumberOfMessages=MOST,
            WaitTimeSeconds=wait,
            VisibilityTimeout=hidden,
            MessageAttributeNames=[ATTRIBUTE],
            MessageSystemAttributeNames=SYSTEM,
        )
        messages: list[dict[str, object]] = answer.get("Messages", [])
        return messages

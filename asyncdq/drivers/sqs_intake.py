"""What comes from SQS: asked for at once by a claim, or by a long poll per queue while somebody waits.

A long poll cannot be called off: cut, it swallows the messages that it would have brought, until their time is
over. So it runs to its end, a few seconds at most, whoever has stopped waiting; what it brings lies on a shelf for
the next claim, and what nobody claims soon is sent back, with its counters as they were.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..errors import AsyncdqError, DriverError
from ..message import Delivery, Unstarted
from ..soon import start_soon
from .shelf import Shelf
from .sqs_batches import MOST, Batches
from .sqs_envelope import ATTRIBUTE, SYSTEM, Hop, received
from .sqs_outcomes import Outcomes, hidden_for
from .sqs_queues import Queues
from .waiters import announced

SPARE = 3
"""Seconds that what a long poll brings is hidden beyond the poll's own, for its time on the shelf.

Not for the lease, which begins when it is handed out, with a call more: SQS answers the poll of a worker that was
killed as well, and what that answer takes with it comes back that much sooner."""

SHELVED = 0.3
"""Seconds after which what nobody has claimed is sent back: a worker that waits for it claims it at once."""

BEHIND = 1.0
"""Seconds for which a claim looks behind what is not due yet; a long poll looks further."""

LAST_LOOK = 0.1
"""Seconds that a claim waits for the answer to a long poll before it says that there is nothing: a burst ends then."""


class Intake:
    """The receiving half of one connected driver. `poll` is how many seconds a long poll lasts."""

    def __init__(self, queues: Queues, batches: Batches, outcomes: Outcomes, poll: int) -> None:
        self._queues = queues
        self._batches = batches
        self._outcomes = outcomes
        self._poll = poll
        self._loop = asyncio.get_running_loop()
        self._shelf: Shelf[Delivery] = Shelf()
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._returning: set[asyncio.Task[None]] = set()
        self._waiters: Counter[str] = Counter()
        self._asked: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._ending = False

    async def claim(self, queue: str, most: int, lease: float) -> list[Delivery]:
        """Up to `most` messages of a queue that are there now."""
        self._asked[queue] = min(most, MOST)
        claimed = await self._fitting([each for _, each in self._shelf.take({queue: most}, most)], lease)
        try:
            return claimed + await self._receive_many(queue, most - len(claimed), lease)
        except AsyncdqError:
            self.keep(claimed)
            raise

    async def last_look(self, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
        """What a long poll under way has got before a claim that found nothing, if its answer is nearly here."""
        if any(queue in self._polls for queue in queues):
            with self._shelf.waiting(queues) as woken:
                await announced(woken, LAST_LOOK)
        return await self._fitting([each for _, each in self._shelf.take(queues, limit)], lease)

    async def take(self, queue: str, most: int) -> list[Delivery]:
        """Up to `most` messages that are there now, to be deleted unseen."""
        shelved = [each for _, each in self._shelf.take({queue: most}, most)]
        found = shelved or await self._receive_many(queue, most, 30.0)
        # AWS asks all of its servers only if it may wait.
        return found or await self._receive(queue, min(most, MOST), 30, 1)

    async def wait(self, queues: Sequence[str], timeout: float) -> None:
        """Return when the shelf has something of these queues, or after `timeout`. Raises what a poll raises."""
        self._waiters.update(queues)
        try:
            with self._shelf.waiting(queues) as woken:
                polls = [] if woken.done() else [self._polling(queue) for queue in queues]
                futures: list[asyncio.Future[Any]] = [woken, *polls]
                done, _ = await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for poll in done & set(polls):
                if not poll.cancelled():  # by a driver that ends
                    poll.result()
        finally:
            self._waiters.subtract(queues)

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Put on the shelf what nobody has asked for, or not any more."""
        now = self._loop.time()
        for delivery in deliveries:
            self._shelf.put(delivery.queue, delivery, now)
        if self._ending:
            self._return([each for _, each in self._shelf.clear()])
        elif deliveries:
            self._loop.call_later(SHELVED, self._clear_out)

    async def give_back(self) -> None:
        """Return what is on the shelf. What polls bring that are under way goes back when it comes."""
        self._return([each for _, each in self._shelf.clear()])
        await asyncio.gather(*self._returning)

    async def close(self, patience: float) -> None:
        """Wait for the polls under way, `patience` seconds at most, and return what they bring."""
        self._ending = True
        await self.give_back()
        if self._polls:
            _, left = await asyncio.wait(self._polls.values(), timeout=patience)
            for poll in left:
                poll.cancel()
            if left:
                await asyncio.wait(left)
        await asyncio.gather(*self._returning)

    def _polling(self, queue: str) -> asyncio.Task[None]:
        if queue not in self._polls:
            poll = self._polls[queue] = start_soon(self._wait_for(queue))
            poll.add_done_callback(lambda done: self._polled(queue, done))
        return self._polls[queue]

    def _polled(self, queue: str, poll: asyncio.Task[None]) -> None:
        del self._polls[queue]
        if not poll.cancelled():
            poll.exception()  # who waits has it too; if nobody does, the next call will meet it again

    async def _wait_for(self, queue: str) -> None:
        """Poll until something has come, or nobody waits for it any more."""
        came: list[Delivery] = []
        while not came and self._waiters[queue] > 0 and not self._ending:
            came = await self._receive(queue, self._asked.get(queue, 1), self._poll + SPARE, self._poll)
        self.keep(came)

    async def _receive_many(self, queue: str, most: int, lease: float) -> list[Delivery]:
        """In rounds of as many calls as were answered in full before, twice as many in each; nothing costs one call."""
        hidden, calls = hidden_for(lease), self._calls.get(queue, 1)
        came: list[Delivery] = []
        while (rest := most - len(came)) > 0:
            shares = [min(MOST, rest - at) for at in range(0, rest, MOST)][:calls]
            asked = (self._receive(queue, share, hidden) for share in shares)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            good = [answer for answer in answers if not isinstance(answer, BaseException)]
            came += [each for answer in good for each in answer]
            for answer in answers:
                if isinstance(answer, BaseException):
                    self.keep(came)
                    raise answer
            if sum(map(len, good)) < sum(shares):
                break
            calls *= 2
        self._calls[queue] = max(1, len(came) // MOST)
        return came

    async def _receive(self, queue: str, most: int, hidden: int, wait: int = 0) -> list[Delivery]:
        """What is there; what is not due yet is sent on its way again, and what stands behind it is asked for."""
        began = self._loop.time()
        while True:
            came, found = await self._receive_once(queue, most, hidden, wait)
            if found or not came or wait or self._loop.time() - began > BEHIND:
                return found

    async def _receive_once(self, queue: str, most: int, hidden: int, wait: int) -> tuple[int, list[Delivery]]:
        """One call: how many messages came, and those of them that are due."""
        now = self._loop.time()
        answer = await self._queues.call(
            "receive_message",
            queue,
            wait,
            MaxNumberOfMessages=most,
            VisibilityTimeout=hidden,
            WaitTimeSeconds=wait,
            MessageAttributeNames=[ATTRIBUTE],
            MessageSystemAttributeNames=SYSTEM,
        )
        date: str = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        came = [
            received(message, queue, now, hidden, date, self._outcomes.longest)
            for message in answer.get("Messages", [])
        ]
        await self._hop(queue, [each for each in came if isinstance(each, Hop)])
        return len(came), [each for each in came if isinstance(each, Delivery)]

    async def _hop(self, queue: str, hops: list[Hop]) -> None:
        """Send first, delete second. What fails comes again when its time is over, and hops then."""
        if hops:
            sent = await self._batches.send(queue, [hop.entry for hop in hops])
            done = [hop.handle for hop, error in zip(hops, sent, strict=True) if error is None]
            await self._batches.delete(queue, done)

    async def _fitting(self, found: list[Delivery], lease: float) -> list[Delivery]:
        """Those of the shelf that are ours for a lease, or can be made so; and not for much longer."""
        now = self._loop.time()
        good = [each for each in found if lease <= each.receipt.deadline - now <= 1.5 * lease + 1]
        others = [each for each in found if now < each.receipt.deadline and each not in good]
        try:
            lost = await self._outcomes.extend(others, lease)
        except DriverError:
            self.keep([each for each in found if now < each.receipt.deadline])  # also what was extended beside it
            raise
        return [each for each in found if each in good or (each in others and each not in lost)]

    def _clear_out(self) -> None:
        self._return([each for _, each in self._shelf.stale(self._loop.time() - SHELVED + 0.05)])

    def _return(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            task = start_soon(self._send_back(deliveries))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def _send_back(self, deliveries: list[Delivery]) -> None:
        with suppress(AsyncdqError):  # then it comes back by itself when its time is over
            await self._outcomes.settle([(each, Unstarted()) for each in deliveries])

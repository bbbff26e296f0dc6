"""Which of the worker's queues can be had: one that the backend refuses does not end the work on the others.

A queue is refused by itself where its key was disabled, a permission taken away, a trigger written, a key spoilt. Then
each queue is asked alone, who refuses is left out and asked again later, and the log names it. If all refuse, or the
worker is to empty them, that is the end; so it is if the first claim of all is a mistake in the configuration.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from ..drivers.base import BaseDriver
from ..errors import AsyncdqError, ConfigurationError, ConnectionLost
from ..message import Delivery
from .log import log

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a queue that refuses is asked again: at first, and at most."""

BRIEFLY = 0.001
"""Seconds of a wait that is only to see whether it is refused."""


class Reach:
    """The driver, of which some queues may be refused. `all_or_none`: none may be."""

    def __init__(self, driver: BaseDriver, queues: Sequence[str], *, all_or_none: bool) -> None:
        self._driver = driver
        self._queues = queues
        self._all_or_none = all_or_none or len(queues) == 1
        self._began = False  # something was had
        self._refused: dict[str, tuple[float, float]] = {}  # when to ask again, and after which pause
        self._loop = asyncio.get_running_loop()

    async def dequeue(self, room: int, lease: float) -> list[Delivery]:
        """The driver's `dequeue`, of what can be had. Raises what that raises if nothing can."""
        claimed: list[Delivery] = []

        async def one(queue: str) -> bool:
            if (left := room - len(claimed)) > 0:
                claimed.extend(await self._driver.dequeue({queue: left}, left, lease))
            return left > 0

        # Alone, and not with the others: what was claimed of them may be left leased when another one refuses.
        if self._refused:
            await self._one_by_one([queue for queue, (at, _) in self._refused.items() if at <= self._loop.time()], one)
        queues, left = self._open(), room - len(claimed)
        if left > 0:
            try:
                claimed += await self._driver.dequeue(dict.fromkeys(queues, left), left, lease)
                self._began = True
            except AsyncdqError as error:
                try:
                    await self._sort_out(queues, one, error)
                except AsyncdqError:
                    if not claimed:  # else it comes again with the next claim
                        raise
        if self._all_or_none and not claimed and self._driver.limits.leaves_out:
            for queue in self._queues:
                await one(queue)
        return claimed

    async def wait(self, timeout: float) -> None:
        """The driver's `wait`, for what can be had, and not beyond the next time at which a queue is asked again."""

        async def briefly(queue: str) -> bool:
            await self._driver.wait([queue], BRIEFLY)
            return True

        queues = self._open()
        again = min((at for at, _ in self._refused.values()), default=math.inf) - self._loop.time()
        try:
            await self._driver.wait(queues, max(BRIEFLY, min(timeout, again)))
        except AsyncdqError as error:
            await self._sort_out(queues, briefly, error)

    def _open(self) -> list[str]:
        return [queue for queue in self._queues if queue not in self._refused]

    async def _sort_out(
        self, queues: Sequence[str], ask: Callable[[str], Awaitable[bool]], error: AsyncdqError
    ) -> None:
        """Find out who refuses. Raises `error` if that is nobody, or everybody."""
        misled = isinstance(error, ConfigurationError) and not self._began
        if isinstance(error, ConnectionLost) or self._all_or_none or misled:
            raise error
        before = len(self._refused)
        if lost := await self._one_by_one(queues, ask):
            raise lost
        if not self._open() or len(self._refused) == before:
            raise error

    async def _one_by_one(self, queues: Sequence[str], ask: Callable[[str], Awaitable[bool]]) -> ConnectionLost | None:
        """Ask each of these alone; who refuses is left out, and who does not is had again. `ask`: whether it did."""
        for queue in queues:
            try:
                asked = await ask(queue)
            except ConnectionLost as error:
                return error
            except AsyncdqError as refusal:
                self._leave_out(queue, refusal)
            else:
                if asked and queue in self._refused:
                    del self._refused[queue]
                    log.warning("the queue %r is had again", queue, extra={"event": "queue_had_again"})
        return None

    def _leave_out(self, queue: str, refusal: AsyncdqError) -> None:
        if queue in self._refused:
            pause = min(2 * self._refused[queue][1], LONGEST_PAUSE)
        else:
            pause = FIRST_PAUSE
            log.warning(
                "the queue %r is refused: %s; the others go on, and it is asked for again",
                queue,
                refusal,
                extra={"event": "queue_refused"},
            )
        self._refused[queue] = self._loop.time() + pause, pause

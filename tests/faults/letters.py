"""The dead letters of a trial: counted often and read seldom, because SQS reads them by receiving all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Set

from asyncdq.message import DeadLetter
from tests.integration.workers import Site

from .scale import LOOK


async def count(site: Site, queues: Collection[str]) -> int:
    """How many there are, as far as the broker has counted."""
    return sum([(await site.stats(queue)).dead or 0 for queue in queues])


async def read(site: Site, queues: Collection[str]) -> dict[str, DeadLetter]:
    """All of them, by id."""
    lists = [await site.dead(queue) for queue in queues]
    return {id: letter for letters in lists for id, letter in letters.items()}


async def with_these(
    site: Site, queues: Collection[str], wanted: Set[str], seconds: float = 0.0
) -> dict[str, DeadLetter]:
    """All of them, as soon as these are among them, or when so many seconds are over."""
    deadline, pause = time.monotonic() + seconds, LOOK
    while True:
        late = time.monotonic() >= deadline
        if late or await count(site, queues) >= len(wanted):
            found = await read(site, queues)
            if late or wanted <= found.keys():
                return found
            pause = min(2 * pause, 5.0)
        await asyncio.sleep(pause)  # between two looks

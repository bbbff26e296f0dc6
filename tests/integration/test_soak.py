"""Thousands of tasks through one worker: it ends as small as it began."""

from __future__ import annotations

import asyncio
import gc

import psutil

from asyncdq import task

from .workers import EMPTY, Site, counts

WARM, ROUNDS = 2_000, 4
MEGABYTE = 2**20

_count = 0


@task
async def count() -> None:
    global _count
    _count += 1


def size() -> tuple[int, int]:
    """Bytes of memory, and open file descriptors."""
    gc.collect()
    return psutil.Process().memory_info().rss, psutil.Process().num_fds()


async def run(number: int, site: Site) -> None:
    goal = _count + number
    await asyncio.gather(*(count.enqueue() for _ in range(number)))
    await site.until(lambda: _count == goal)
    await site.wait_for_stats(leased=0)


async def test_memory_and_file_descriptors_stay_flat_over_thousands_of_tasks(site: Site) -> None:
    sizes: list[tuple[int, int]] = []
    async with site.working(concurrency=100):
        for _ in range(ROUNDS):
            await run(WARM, site)
            sizes.append(size())
    (memory, files), (memory_at_end, files_at_end) = sizes[0], sizes[-1]
    print(f"\nmemory {[rss // MEGABYTE for rss, _ in sizes]} MB, file descriptors {[fds for _, fds in sizes]}")
    assert memory_at_end - memory < 8 * MEGABYTE
    assert files_at_end - files < 20  # a pool may grow by as many; a leak would be one per task
    assert counts(await site.stats(), **EMPTY)

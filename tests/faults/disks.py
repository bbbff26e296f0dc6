"""What is full: the disk under the file of SQLite or the data of a server, or the memory that a server may have."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from asyncdq.errors import DriverError
from tests.integration import jobs
from tests.integration.workers import site_on
from tests.servers.native import Native

from .report import Bounds, Report
from .scenario import Scenario
from .trial import Trial

SLOTS = 10

BACK_WITHIN = 5.0
"""Seconds after there is room again within which the worker works again."""

FULL_FOR = 2.0
"""Seconds for which the disk stays full."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A small file system, the trial on a store that lies on it, and the server of that, if there is one."""

    place: Path
    trial: Trial
    server: Native | None = None

    @property
    def ballast(self) -> Path:
        """What takes the room of others."""
        return self.place / "ballast"


async def full(trial: Trial) -> Report:
    """Enqueues fail with an error, nothing that was confirmed is lost, and the same worker goes on when there is room.

    A server may end because of it: PostgreSQL does where its log has no room, and Redis always. Then it is started, as
    is RabbitMQ where its queues have ended and it has not.
    """
    async with _on_a_small_disk(trial) as disk:
        return await _fill(disk.trial, disk)


@asynccontextmanager
async def _on_a_small_disk(trial: Trial) -> AsyncIterator[Disk]:
    if trial.ground.driver == "sqlite":
        place = trial.site.folder / "disk"
        place.mkdir()
        with _small(place, 32):
            async with site_on(f"sqlite://{place}/queue.db", trial.site.folder) as site:
                yield Disk(place, trial.on(site))
        return
    with trial.ground.server() as server:  # of its own: the data of a server move to another file system
        assert isinstance(server, Native)
        server.stop()
        with _moved(server.data):
            try:
                server.start()
                async with site_on(trial.ground.store(server, trial.site.folder), trial.site.folder) as site:
                    yield Disk(server.data, trial.on(site), server)
            finally:
                server.kill9()


@contextmanager
def _small(place: Path, megabytes: int) -> Iterator[None]:
    """A small file system at this place."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def _moved(data: Path) -> Iterator[None]:
    """What is in this folder lies on a file system with room for as much again, and some more."""
    aside = data.rename(data.with_name("aside"))
    data.mkdir()
    size = sum(file.stat().st_blocks for file in aside.rglob("*")) * 512
    with _small(data, 2 * size // 2**20 + 64):
        subprocess.run(["cp", "-a", f"{aside}/.", data], check=True)  # with the owner of the folder itself
        yield


async def _fill(trial: Trial, disk: Disk) -> Report:
    worker = trial.worker(concurrency=SLOTS)
    await trial.ready(worker)
    left = 300_000 if disk.server is None else trial.rng.randrange(1, 14) * 2**20
    disk.ballast.write_bytes(b"\0" * max(0, shutil.disk_usage(disk.place).free - left))
    began = await _crowded(trial)
    disk.ballast.unlink()
    if disk.server is not None:
        if trial.ground.halts and trial.ground.halts in disk.server.log:
            disk.server.stop()
        disk.server.start()
    freed = time.time()
    await trial.ready(worker)
    recovered = time.time() - freed
    trial.worker("-q", "default,large")
    await trial.finished()
    also = [] if began is not None else ["the disk was never full"]
    also += [] if worker.alive else [f"the worker died: {worker.log[-300:]}"]
    # What ended while nothing could be written, and what a server that ended of it has forgotten.
    unwritten = trial.site.ledger.ended_before(freed, freed - (began or freed) + trial.ground.forgets)
    return await trial.report(Bounds(duplicates=2 * SLOTS + unwritten, recovery=BACK_WITHIN), recovered, also)


async def _crowded(trial: Trial) -> float | None:
    """Enqueue until there is no room, and for some seconds longer; when that was, in unix seconds."""
    began: float | None = None
    deadline = time.time() + trial.scale.patience
    while time.time() < (deadline if began is None else began + FULL_FOR):
        large = jobs.mark.using(queue="large").bind(trial.rng.randbytes(10_000).hex())
        try:
            await trial.enqueue([large] * 10)
            await trial.enqueue(jobs.mark.bind() for _ in range(5))
        except DriverError:
            began = began or time.time()
        await trial.wait(0.01)
    return began


async def memory_full(trial: Trial) -> Report:
    """A server with a limit of memory is full: enqueues fail with an error, and workers do what is there until there
    is room again."""
    import redis  # here: only Redis has such a limit

    settings = redis.Redis.from_url(trial.server.url)
    settings.config_set("maxmemory", settings.info("memory")["used_memory"] + 4 * 2**20)
    try:
        worker = trial.worker(concurrency=SLOTS)
        await trial.ready(worker)
        began = await _crowded(trial)
        trial.worker("-q", "large")
        emptied = await trial.until(lambda: not trial.unfinished())
        since = time.time()
        await trial.ready(worker)
        recovered = time.time() - since
        await trial.finished()
    finally:
        settings.config_set("maxmemory", 0)
        settings.close()
    also = [] if began is not None else ["the memory was never full"]
    also += [] if emptied else ["what was there was not done while the memory was full"]
    return await trial.report(Bounds(duplicates=0, recovery=BACK_WITHIN), recovered, also)


DISK_FULL = Scenario("-", "a full disk", full, frozenset({"root", "native"}))
MEMORY_FULL = Scenario("-", "a server without memory", memory_full, frozenset({"maxmemory"}))

SCENARIOS = (DISK_FULL, MEMORY_FULL)

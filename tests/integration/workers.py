"""Worker processes under test: starting them, watching what they say, and breaking them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from asyncdq import Call, Client, Enqueued, Worker
from asyncdq.drivers.base import DeadLetters
from asyncdq.errors import ConnectionLost
from asyncdq.message import DeadLetter, QueueStats
from tests.servers.fixtures import DRIVERS

from . import jobs
from .ledger import VARIABLE, Ledger

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
JOBS = jobs.__name__

SOON = 45.0
"""Seconds within which anything that must happen has happened, also on a busy machine."""

sqlite_only = pytest.mark.parametrize("queue_url", ["sqlite"], indirect=True)
"""Marks a test of `site` that shows the same whatever the driver is, or that breaks a file."""

leases_end = pytest.mark.parametrize("queue_url", [name for name in DRIVERS if name != "rabbitmq"], indirect=True)
"""Marks a test of `site` about leases that end after some seconds: RabbitMQ's last as long as the connection."""


async def until(condition: Callable[[], T], seconds: float = SOON, *, evidence: Callable[[], object] = str) -> T:
    """What the condition returns as soon as that is true; past the deadline, the `evidence` is the failure's text."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := condition()):
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s\n{evidence()}"
        await asyncio.sleep(0.01)  # between two looks: what other processes do has no event here
    return found


class WorkerProcess:
    """`asyncdq worker` as a process of its own; what it writes goes to files."""

    def __init__(self, arguments: Iterable[str], folder: Path, environment: Mapping[str, str], number: int) -> None:
        self._output, self._errors = folder / f"worker{number}.out", folder / f"worker{number}.err"
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "asyncdq", "worker", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit code if it has ended: minus the signal's number if one killed it."""
        return self._process.poll()

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def log(self) -> str:
        return self._errors.read_text()

    def log_lines(self, *words: str) -> list[str]:
        """The lines of the log in which all these words stand."""
        return [line for line in self.log.splitlines() if all(word in line for word in words)]

    def events(self) -> list[dict[str, Any]]:
        """The log of a worker that was started with `--log-format json`."""
        return [json.loads(line) for line in self.log.splitlines()]

    async def says(self, text: str, seconds: float = SOON) -> None:
        """Return when the text stands in the log."""
        await until(lambda: text in self.log, seconds, evidence=lambda: self.log)

    async def ready(self) -> Self:
        await self.says("is ready")
        return self

    async def exited(self, seconds: float = SOON) -> int:
        """Its exit code, once it has ended: minus the signal's number if one killed it."""
        await until(lambda: not self.alive, seconds, evidence=lambda: self.log)
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def end(self) -> None:
        """Kill it if it lives, and wait for it."""
        self.kill()
        self._process.wait()

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)


class Site:
    """One store with everything around it: an open client, the ledger, gates, and workers here or in processes."""

    def __init__(self, client: Client, url: str, folder: Path, ledger: Ledger) -> None:
        self.client = client
        self.url = url
        self.folder = folder
        self.ledger = ledger
        self.gate = str(folder / "gate")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ASYNCDQ_")},
            "PYTHONPATH": str(ROOT),
            "ASYNCDQ_URL": url,
            VARIABLE: str(folder / "ledger"),
        }
        self._processes: list[WorkerProcess] = []

    def close(self) -> None:
        for process in self._processes:
            process.end()
        self.ledger.close()

    def open_gate(self, pid: int | None = None) -> None:
        """Let held tasks return, everywhere or in this process."""
        self.open(self.gate if pid is None else f"{self.gate}.{pid}")

    def open(self, gate: str) -> None:
        """Let tasks that are held at this gate return."""
        Path(gate).touch()

    async def enqueue(self, calls: Iterable[Call[Any]]) -> list[str]:
        """The ids of what is enqueued now; the ledger knows of it."""
        stored: list[Enqueued[Any]] = await self.client.enqueue_many(calls)
        ids = [enqueued.id for enqueued in stored]
        self.ledger.enqueued(ids)
        return ids

    def start(self, *arguments: str, modules: tuple[str, ...] = (JOBS,)) -> WorkerProcess:
        """A worker process, just started; the end of the test kills it."""
        process = WorkerProcess([*modules, *arguments], self.folder, self.environment, len(self._processes))
        self._processes.append(process)
        return process

    def freeze(self, worker: WorkerProcess) -> None:
        """Freeze it, but not in the middle of a write: it would hold the lock of an SQLite file until it thaws."""
        worker.freeze()
        while self.url.startswith("sqlite:") and is_locked(self.url.removeprefix("sqlite://").partition("?")[0]):
            worker.thaw()
            worker.freeze()

    @asynccontextmanager
    async def load(self, produce: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
        """This is done again and again, also while the server is away."""
        ends = asyncio.Event()

        async def again_and_again() -> None:
            while not ends.is_set():
                try:
                    await produce()
                except ConnectionLost:
                    await asyncio.sleep(0.05)  # between two tries
                await asyncio.sleep(0.01)  # or there would be more than the workers can do

        producing = asyncio.create_task(again_and_again())
        try:
            yield
        except BaseException:
            producing.cancel()  # it may be asking a server that does not answer
            raise
        finally:
            ends.set()
            await asyncio.wait([producing])
        producing.result()

    @asynccontextmanager
    async def working(self, **config: Any) -> AsyncIterator[Worker]:
        """A worker in this process, which drains at the end."""
        worker = Worker(self.url, **config)
        work = asyncio.create_task(worker.start(handle_signals=False))
        try:
            yield worker
        finally:
            worker.stop()
            await work

    async def burst(self, **config: Any) -> None:
        """Work in this process until the queues are empty."""
        await asyncio.wait_for(Worker(self.url, burst=True, **config).start(handle_signals=False), 60)

    async def until(self, condition: Callable[[], T], seconds: float = SOON) -> T:
        """What the condition returns as soon as that is true; fails with the logs of all worker processes."""
        return await until(condition, seconds, evidence=lambda: "\n\n".join(each.log for each in self._processes))

    async def started(self, count: int) -> None:
        """Return when at least so many executions have started."""
        await self.until(lambda: len(self.ledger.starts()) >= count)

    async def ended(self, count: int) -> None:
        """Return when at least so many executions have ended."""
        await self.until(lambda: len(self.ledger.ends()) >= count)

    async def stats(self, queue: str = "default") -> QueueStats:
        return await self.client.driver.stats(queue)

    async def wait_for_stats(self, queue: str = "default", **wanted: int) -> None:
        """Return when the queue counts as many as wanted, in what the broker can count."""
        deadline = asyncio.get_running_loop().time() + SOON
        while not counts(found := await self.stats(queue), **wanted):
            assert asyncio.get_running_loop().time() < deadline, f"{wanted} not within {SOON} s: {found}"
            await asyncio.sleep(0.01)  # between two looks

    async def dead(self, queue: str = "default") -> dict[str, DeadLetter]:
        """The dead letters by id."""
        driver = self.client.driver
        assert isinstance(driver, DeadLetters)
        return {letter.id: letter for letter in await driver.dead(queue, 10_000)}

    async def script(self, text: str, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a script that a user might write; the settings lead it to this store."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", text, *arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode or 0, output.decode(), errors.decode()


def counts(found: QueueStats, **wanted: int) -> bool:
    """Whether these are the numbers, as far as the broker knows them."""
    return all(getattr(found, state) in (number, None) for state, number in wanted.items())


def is_locked(path: str) -> bool:
    """Whether somebody is writing to this SQLite file."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            return True
    return False


@asynccontextmanager
async def site_on(url: str, folder: Path) -> AsyncIterator[Site]:
    """A site on the store at this URL; its worker processes are gone at the end."""
    async with Client.from_url(url) as client:
        site = Site(client, url, folder, Ledger(folder / "ledger"))
        try:
            yield site
        finally:
            site.close()


EMPTY = asdict(QueueStats(ready=0, delayed=0, leased=0, dead=0))

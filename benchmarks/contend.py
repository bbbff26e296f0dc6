"""One contender at the command line, in its own environment: python -m benchmarks.contend MODULE MODE N [RATE].

A contender is a module with

    PACKAGES    what pip installs into its environment; none for those that run in the project's
    DRIVERS     the backends that it runs on
    VERSIONS    by backend, what has a version that matters: itself, and the client library
    WORKER      the command of a worker; `{bin}` is the environment's folder of programs, `{python}` its interpreter,
                `{url}` the server, `{concurrency}` how many tasks at a time, `{double}` twice that, `{half}` half of it
    IO          likewise, for tasks that wait; without it, WORKER
    CPU         likewise, for CPU tasks on two processes; without it, two WORKERs of concurrency 10 run
    MOST        the highest concurrency that makes sense, if there is one
    SETTINGS    what was set to make it fast, in words
    CRASH       what becomes of the tasks of a worker that is killed, in words; both may be by backend, "" for the rest
    producer()  an async context manager that yields a Producer, or a context manager if its client is sync

MODE is single (one awaited call after the other), concurrent (100 callers: coroutines, or threads of a sync client),
bulk, fill (the fastest of these) or paced (RATE calls per second, each stamped). The last line of the output is JSON.
All but `producer` are literals: the harness reads them without importing what its own environment lacks.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any

URL = "BENCH_URL"
"""The environment variable with the URL of the server, for producers and workers."""

CONCURRENCY = "BENCH_CONCURRENCY"
"""The environment variable with the worker's concurrency, for rivals that are told in code."""

CALLERS = 100

CHUNK = 1000
"""Tasks of one bulk enqueue."""


@dataclass(frozen=True, slots=True)
class Producer:
    """How to enqueue a task of `bodies` by its name: one, and many at once if there is a documented way.

    `crowded` is `one` among other calls, where those take a connection from a pool: one of its own costs no reset.
    """

    one: Callable[..., Any]
    many: Callable[[str, list[tuple[Any, ...]]], Any] | None = None
    crowded: Callable[..., Any] | None = None


Opening = AbstractAsyncContextManager[Producer] | AbstractContextManager[Producer]


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: `count` tasks called `task`. A `warm` one has ids that do not count."""

    producer: Producer
    task: str
    count: int
    rate: float
    warm: bool = False

    @property
    def ids(self) -> Iterator[int]:
        """1 to count."""
        return iter([-1] * self.count if self.warm else range(1, self.count + 1))

    @property
    def due(self) -> Iterator[tuple[int, float]]:
        """Ids and when to send each: at the rate, with gaps that differ, lest they fall in step with a poll."""
        at = time.monotonic()
        for id in self.ids:
            yield id, at
            at += random.uniform(0.5, 1.5) / self.rate

    @property
    def chunks(self) -> Iterator[list[tuple[int]]]:
        """The ids in lots of CHUNK."""
        for start in range(1, self.count + 1, CHUNK):
            yield [(id,) for id in range(start, min(start + CHUNK, self.count + 1))]


async def single(run: Run) -> None:
    """One awaited call after the other."""
    for id in run.ids:
        await run.producer.one(run.task, id)


async def concurrent(run: Run) -> None:
    """100 coroutines."""
    ids, enqueue = run.ids, run.producer.crowded or run.producer.one

    async def call() -> None:
        for id in ids:
            await enqueue(run.task, id)

    await asyncio.gather(*(call() for _ in range(CALLERS)))


async def bulk(run: Run) -> None:
    """As many at once as is documented, in lots of CHUNK."""
    assert run.producer.many
    for chunk in run.chunks:
        await run.producer.many(run.task, chunk)


async def paced(run: Run) -> None:
    """At a rate, by as many callers as it takes."""
    due, enqueue = run.due, run.producer.crowded or run.producer.one

    async def call() -> None:
        for id, at in due:
            await asyncio.sleep(at - time.monotonic())  # until it is due: that is the measurement
            await enqueue(run.task, id, time.monotonic())

    await asyncio.gather(*(call() for _ in range(CALLERS)))


def single_sync(run: Run) -> None:
    """One call after the other."""
    for id in run.ids:
        run.producer.one(run.task, id)


def concurrent_sync(run: Run) -> None:
    """100 threads."""
    ids, lock = run.ids, threading.Lock()

    def call() -> None:
        while True:
            with lock:
                id = next(ids, None)
            if id is None:
                return
            run.producer.one(run.task, id)

    with ThreadPoolExecutor(CALLERS) as threads:
        for caller in [threads.submit(call) for _ in range(CALLERS)]:
            caller.result()


def bulk_sync(run: Run) -> None:
    """As many at once as is documented, in lots of CHUNK."""
    assert run.producer.many
    for chunk in run.chunks:
        run.producer.many(run.task, chunk)


def paced_sync(run: Run) -> None:
    """At a rate, by one caller: behind time if the client is slower than that."""
    for id, at in run.due:
        time.sleep(max(0.0, at - time.monotonic()))  # until it is due: that is the measurement
        run.producer.one(run.task, id, time.monotonic())


ASYNC: dict[str, Callable[[Run], Awaitable[None]]] = {
    "single": single,
    "concurrent": concurrent,
    "bulk": bulk,
    "paced": paced,
}
SYNC: dict[str, Callable[[Run], None]] = {
    "single": single_sync,
    "concurrent": concurrent_sync,
    "bulk": bulk_sync,
    "paced": paced_sync,
}


async def produce(
    opening: AbstractAsyncContextManager[Producer], mode: str, task: str, count: int, rate: float
) -> None:
    """With an async client."""
    async with opening as producer:
        if mode == "bulk" and not producer.many:
            told(mode, 0, 0.0, 0.0)
            return
        mode = ("bulk" if producer.many else "concurrent") if mode == "fill" else mode
        await (concurrent if mode == "concurrent" else single)(warm_up(producer, mode))
        cpu, began = time.process_time(), time.perf_counter()
        await ASYNC[mode](Run(producer, task, count, rate))
        told(mode, count, time.perf_counter() - began, time.process_time() - cpu)


def produce_sync(opening: AbstractContextManager[Producer], mode: str, task: str, count: int, rate: float) -> None:
    """With a sync client."""
    with opening as producer:
        if mode == "bulk" and not producer.many:
            told(mode, 0, 0.0, 0.0)
            return
        mode = ("bulk" if producer.many else "single") if mode == "fill" else mode
        (concurrent_sync if mode == "concurrent" else single_sync)(warm_up(producer, mode))
        cpu, began = time.process_time(), time.perf_counter()
        SYNC[mode](Run(producer, task, count, rate))
        told(mode, count, time.perf_counter() - began, time.process_time() - cpu)


def warm_up(producer: Producer, mode: str) -> Run:
    """Opens the connections: as many as there will be callers."""
    return Run(producer, "noop", 2 * CALLERS if mode == "concurrent" else 1, 1.0, warm=True)


def told(mode: str, count: int, seconds: float, cpu: float) -> None:
    """What the harness reads."""
    print(json.dumps({"mode": mode, "count": count, "seconds": seconds, "cpu": cpu}), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Produce as told."""
    module, mode, task, count, *rate = arguments
    opening: Opening = importlib.import_module(module).producer()
    pace = float(rate[0]) if rate else 1.0
    if isinstance(opening, AbstractAsyncContextManager):
        asyncio.run(produce(opening, mode, task, int(count), pace))
    else:
        produce_sync(opening, mode, task, int(count), pace)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Count the functions, classes and lines of Python's standard library: one task per source file.

    python examples/stdlib_stats.py

It starts a worker, enqueues a task for each file, shows how the work goes on, and compares what the tasks
found with a plain loop over the same files. Exit code 0: all tasks are done and both agree.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import time
import warnings
import zlib
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import quote

from asyncdq import AsyncdqError, Client, Retry, Settings, current_task, task

QUEUE = "stdlib-stats"
STDLIB = Path(sysconfig.get_path("stdlib"))


class Counts(NamedTuple):
    """What is in one source file; `error` if it does not parse."""

    functions: int
    classes: int
    lines: int
    error: str


# The task. Parsing keeps a CPU busy, so it runs in a process of the worker's pool, not in its event loop.
# It may run twice (see docs/guarantees.md), so it replaces its row instead of adding one.


@task(queue=QUEUE, process=True, max_attempts=3, timeout=60)
def measure(file: Path, results: Path) -> None:
    """Count what is in `file` and write it to the database `results`."""
    attempt = current_task().attempt
    if stumbles(file) and attempt == 1:
        raise Retry(f"{file.name} stumbles once, on purpose", delay=0.2)
    row = (str(file), *count(file), attempt)
    with closing(sqlite3.connect(results, timeout=30)) as database, database:
        database.execute("insert or replace into files values (?, ?, ?, ?, ?, ?)", row)


def count(file: Path) -> Counts:
    """What is in this file. One that does not parse is a result too, not a failure."""
    source = file.read_bytes()
    lines = source.count(b"\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            nodes = list(ast.walk(ast.parse(source, file)))
    except (SyntaxError, ValueError) as error:
        return Counts(0, 0, lines, f"{type(error).__name__}: {error}")
    functions = sum(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in nodes)
    return Counts(functions, sum(isinstance(node, ast.ClassDef) for node in nodes), lines, "")


def stumbles(file: Path) -> bool:
    """Whether the first attempt at this file fails: about one file in fifty, always the same ones."""
    return zlib.crc32(file.relative_to(STDLIB).as_posix().encode()) % 50 == 0


# The rest starts a worker, gives it the tasks and looks at what comes out.


def source_files() -> list[Path]:
    """All .py files of the running Python's standard library."""
    foreign = {"site-packages", "dist-packages"}
    files = [file for file in STDLIB.rglob("*.py") if foreign.isdisjoint(file.relative_to(STDLIB).parts)]
    return sorted(file for file in files if file.is_file())


async def run(url: str, folder: Path, files: list[Path], deadline: float) -> bool:
    """The whole demo in `folder`; whether tasks and loop agree. Raises RuntimeError if it cannot end."""
    results, log = folder / "results.db", folder / "worker.log"
    with closing(sqlite3.connect(results)) as database, database:
        database.execute("pragma journal_mode = wal")
        columns = "path text primary key, functions int, classes int, lines int, error text, attempt int"
        database.execute(f"create table if not exists files ({columns})")
    print(f"{len(files):,} files below {STDLIB}; worker log and databases in {folder}", flush=True)

    began = time.monotonic()
    try:
        async with Client.from_url(url) as client:
            await client.driver.purge(QUEUE)  # what an interrupted run may have left on a server
            with running_worker(url, log) as worker, progress(len(files)) as show:
                await client.enqueue_many(measure.bind(file, results) for file in files)
                await finish(client, worker, results, len(files), show, began + deadline)
    except RuntimeError as error:
        last = log.read_text(errors="replace").splitlines()[-15:]
        raise RuntimeError("\n".join([f"{error}; the worker's log ends with:", *last])) from None
    return summary(files, results, time.monotonic() - began)


@contextmanager
def running_worker(url: str, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """A worker process, started as a user would; ended by SIGTERM, which has to give exit code 0."""
    module = Path(__file__)
    command = [sys.executable, "-m", "asyncdq", "worker", module.stem, "--queues", QUEUE]
    environment = {**os.environ, "ASYNCDQ_URL": url, "ASYNCDQ_DRIVER": ""}  # not an argument: it may hold a password
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=module.parent, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            code = process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    if code != 0:
        raise RuntimeError(f"the worker ended with exit code {code} after SIGTERM instead of 0")


async def finish(
    client: Client,
    worker: subprocess.Popen[bytes],
    results: Path,
    total: int,
    show: Callable[[int], None],
    deadline: float,
) -> None:
    """Return when the queue holds nothing any more. Raises RuntimeError if that cannot happen, or not in time."""
    while True:
        stats = await client.driver.stats(QUEUE)
        left = sum(number or 0 for number in (stats.ready, stats.delayed, stats.leased))
        if left == 0 and stats.delayed is None:  # RabbitMQ does not count what waits for its retry
            left = total - written(results)
        show(total - min(left, total))
        if stats.dead:
            raise RuntimeError(f"{stats.dead} tasks failed for good: asyncdq dead list {QUEUE} says why")
        if left == 0:
            return
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended by itself with exit code {worker.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"out of time: {left} of {total} tasks are not done ({stats})")
        await asyncio.sleep(0.1)


def written(results: Path) -> int:
    """How many files there are in the database `results`."""
    with closing(sqlite3.connect(results)) as database:
        (number,) = database.execute("select count(*) from files").fetchone()
    return int(number)


@contextmanager
def progress(total: int) -> Generator[Callable[[int], None]]:
    """A function that shows how many are done: a bar on a terminal, else a line for each tenth."""
    if sys.stdout.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        with Progress("files", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bar:
            shown = bar.add_task("files", total=total)
            yield lambda done: bar.update(shown, completed=done)
        return

    tenth = 0

    def show(done: int) -> None:
        nonlocal tenth
        if done * 10 // total > tenth:
            tenth = done * 10 // total
            print(f"{done:6,} of {total:,} files done", flush=True)

    yield show


def summary(files: list[Path], results: Path, seconds: float) -> bool:
    """Print what the tasks found beside what a loop finds; whether both are the same, file by file."""
    with closing(sqlite3.connect(results)) as database:
        rows = database.execute("select path, functions, classes, lines, error, attempt from files").fetchall()
    by_tasks = {row[0]: Counts(*row[1:5]) for row in rows}
    retries = sum(row[5] - 1 for row in rows)
    began = time.monotonic()
    by_loop = {str(file): count(file) for file in files}
    alone = time.monotonic() - began

    print(f"\n{'':12}{'files':>9}{'functions':>11}{'classes':>9}{'lines':>11}{'unparsable':>12}{'seconds':>9}")
    for name, found, took in (("tasks", by_tasks, seconds), ("plain loop", by_loop, alone)):
        sums = [sum(column) for column in zip(*(counts[:3] for counts in found.values()), strict=True)]
        broken = sum(bool(counts.error) for counts in found.values())
        print(f"{name:12}{len(found):9,}{sums[0]:11,}{sums[1]:9,}{sums[2]:11,}{broken:12,}{took:9.1f}")
    print(
        f"\n{len(files) / seconds:.0f} files/s, the start of the worker included; {retries} retries, each after 0.2 s"
    )

    for path in sorted(by_loop.keys() | by_tasks.keys()):
        if by_tasks.get(path) != by_loop.get(path):
            print(f"differs: {path}: tasks {by_tasks.get(path)}, loop {by_loop.get(path)}")
    agreed = by_tasks == by_loop and retries == sum(map(stumbles, files))
    print("tasks and loop agree" if agreed else "tasks and loop do NOT agree")
    return agreed


def main() -> int:
    """Read the command line and run the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dir", type=Path, help="keep the databases and the log here (default: a temporary folder)")
    parser.add_argument("--driver", default="sqlite", help="the backend, at its default address (default: sqlite)")
    parser.add_argument("--url", help="the backend, by its URL")
    parser.add_argument("--limit", type=int, help="only so many files (default: all)")
    parser.add_argument("--deadline", type=float, default=300, help="seconds until it gives up (default: 300)")
    asked = parser.parse_args()

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it stops its worker too
    try:
        with nullcontext(asked.dir) if asked.dir else TemporaryDirectory(prefix="asyncdq-") as name:
            folder = Path(name).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            own = f"sqlite://{quote(str(folder / 'queue.db'))}"
            url = asked.url or (own if asked.driver == "sqlite" else Settings(driver=asked.driver).driver_url())
            return 0 if asyncio.run(run(url, folder, source_files()[: asked.limit], asked.deadline)) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (AsyncdqError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":  # the processes of the pool import this file again
    sys.exit(main())

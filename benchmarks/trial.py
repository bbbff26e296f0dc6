"""One measurement of one contender on an empty store: its producer, its workers, and what its tasks noted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .contend import CONCURRENCY, URL
from .contender import AHEAD, ROOT, Contender
from .store import Store
from .tally import FOLDER, Executions
from .usage import Usage, tree

FIRST_LOOK = 0.02
"""Seconds between two looks for the first task of a worker."""

LOOK = 0.25
"""Seconds between two looks at what workers have done: who looks takes his time from the two cores that they share.
When a task began it says itself."""

PATIENCE = 15.0
"""Seconds without progress after which what is missing counts as lost."""

LAST = 10.0
"""Seconds that a worker gets to end."""


class Failed(RuntimeError):
    """A contender did not do what was asked; the text has the end of what it wrote."""


@dataclass
class Trial:
    """`url` is that of an empty store."""

    contender: Contender
    store: Store
    folder: Path
    url: str
    logs: list[Path] = field(default_factory=list[Path])

    def produce(self, mode: str, count: int, task: str = "noop", rate: float = 1.0) -> dict[str, Any]:
        """What contend.py told. Raises Failed."""
        answer = self.start_producer(mode, count, task, rate)
        told, errors = answer.communicate()
        return self.told(answer, told, errors)

    def told(self, process: subprocess.Popen[str], output: str, errors: str) -> dict[str, Any]:
        """The last line of a producer's output. Raises Failed."""
        if process.returncode:
            raise Failed(f"the producer ended with {process.returncode}: {errors.strip()[-2000:]}")
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    def start_producer(self, mode: str, count: int, task: str, rate: float) -> subprocess.Popen[str]:
        """The same, while something else is looked at."""
        command = self.contender.producer(mode, task, count, rate)
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment(1), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @contextmanager
    def working(self, concurrency: int, url: str = "", *, task: str = "noop") -> Generator[Workers]:
        """While its workers run, for such tasks; they are told to end, and ended."""
        url = url or self.url
        commands = self.contender.workers(task, url, concurrency)
        tally = Path(tempfile.mkdtemp(prefix="tally-", dir=self.folder))
        environment = {**self.environment(AHEAD if len(commands) > 1 else concurrency), FOLDER: str(tally), URL: url}
        began = time.monotonic()
        with ExitStack() as ending:
            for command in self.contender.beside(url):
                process = ending.enter_context(self._start(command, environment))  # waits for its end
                ending.callback(process.kill)
            ending.callback(shutil.rmtree, tally)
            workers = Workers([], began, Executions(tally), self)
            ending.callback(workers.end)
            for command in commands:
                workers.processes.append(self._start(command, environment))
            yield workers

    def environment(self, concurrency: int) -> dict[str, str]:
        """For all of its processes: like a user's, and without what is ours."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASYNCDQ_", "VIRTUAL_ENV"))}
        ours = {URL: self.url, CONCURRENCY: f"{concurrency}", FOLDER: str(self.folder), "PYTHONPATH": str(ROOT)}
        return kept | ours | {"BENCH_DRIVER": self.store.driver, "BENCH_FOLDER": str(self.folder)}

    def _start(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        self.logs.append(self.folder / f"worker{len(self.logs)}.log")
        with self.logs[-1].open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@dataclass
class Workers:
    """Those of one trial, from their start."""

    processes: list[subprocess.Popen[bytes]]
    began: float
    executions: Executions
    trial: Trial

    def __post_init__(self) -> None:
        self.usage = Usage(self.family)
        self.server = Usage(self.trial.store.processes)

    def family(self) -> list[psutil.Process]:
        """All processes."""
        return [member for process in self.processes for member in tree(process.pid)]

    def until(self, reached: Callable[[], bool], look: float = LOOK) -> bool:
        """Wait until this is so, or there has been no progress for PATIENCE seconds. Raises Failed if one has ended."""
        seen, last = -1, time.monotonic()
        while True:
            if (now := self.executions.refresh()) > seen:
                seen, last = now, time.monotonic()
            if reached():
                return True
            if time.monotonic() - last > PATIENCE:
                return False
            if any(process.poll() is not None for process in self.processes):
                raise Failed(f"a worker has ended: {self.log()}")
            time.sleep(look)  # between two looks: other people's workers tell nothing

    def until_executed(self, count: int) -> bool:
        """Whether so many tasks have been executed; False if progress has ended before."""
        return self.until(lambda: len(self.executions.ids) >= count)

    def until_first(self) -> float:
        """Seconds from its start to the first task. Raises Failed if there is none."""
        if not self.until(lambda: bool(self.executions.times), FIRST_LOOK):
            raise Failed(f"no task was executed: {self.log()}")
        return min(self.executions.times) - self.began

    def log(self) -> str:
        """The end of what they wrote."""
        return "\n".join(log.read_text(errors="replace")[-1500:] for log in self.trial.logs)

    def end(self) -> None:
        """Ask them to end, and end them."""
        family = self.family()
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST)
        for member in {*family, *self.family()}:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        for process in self.processes:
            process.wait()


@contextmanager
def trial_of(contender: Contender, store: Store) -> Generator[Trial]:
    """On an empty store, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="asyncdq-bench-") as folder:
        yield Trial(contender, store, Path(folder), store.fresh())

"""Tasks count themselves: each execution writes its id and the time to a file that is mapped into memory.

That takes less than a microsecond and needs no flush, and a worker that is killed has lost nothing of it. Only the
standard library is imported here, because the environment of every rival runs it.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = "BENCH_TALLY"
"""The environment variable that names the folder; each process has a file of its own in it."""

ENTRY = struct.Struct("qdd")
"""The task's id, when it began, and when it was sent (0: nobody asks). Seconds of the machine's monotonic clock."""

MOST = 2_000_000
"""Executions that one process can note: the file is sparse, and takes the room of what was written."""


class Tally:
    """That of this process. Its file is made at the first execution: a parent that only forks has none."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def note(self, id: int, sent: float = 0.0) -> None:
        """The task with this id is being executed."""
        ENTRY.pack_into(self._map or self._begin(), self._next() * ENTRY.size, id, time.monotonic(), sent)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None
        self._next = itertools.count().__next__  # atomic: workers may run threads

    def _begin(self) -> mmap.mmap:
        with self._lock:
            if self._map is None:
                path = Path(os.environ[FOLDER]) / f"{os.getpid()}-{time.monotonic_ns()}"
                with path.open("w+b") as file:
                    file.truncate(MOST * ENTRY.size)
                    self._map = mmap.mmap(file.fileno(), 0)
            return self._map


note = Tally().note


@dataclass(slots=True)
class Executions:
    """What the processes of one folder have noted, read as it grows. Ids below 1 are warm-ups and are left out."""

    folder: Path
    ids: set[int] = field(default_factory=set[int])
    times: list[float] = field(default_factory=list[float])
    latencies: list[float] = field(default_factory=list[float])
    _read: dict[Path, int] = field(default_factory=dict[Path, int])

    @property
    def doubled(self) -> int:
        """Executions of a task beyond its first."""
        return len(self.times) - len(self.ids)

    @property
    def span(self) -> float:
        """Seconds from the first start to the last."""
        return max(self.times) - min(self.times) if self.times else 0.0

    def refresh(self) -> int:
        """Read what is new; returns how many tasks have been executed."""
        for path in self.folder.iterdir():
            for id, began, sent in self._entries(path):
                if id > 0:
                    self.ids.add(id)
                    self.times.append(began)
                    if sent:
                        self.latencies.append(began - sent)
        return len(self.ids)

    def _entries(self, path: Path) -> Iterator[tuple[int, float, float]]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            while chunk := file.read(ENTRY.size * 4096):
                for entry in ENTRY.iter_unpack(chunk):
                    if entry[0] == 0 or entry[1] == 0.0:  # not written yet, or half of it
                        return
                    self._read[path] = self._read.get(path, 0) + ENTRY.size
                    yield entry

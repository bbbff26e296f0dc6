"""A ledger outside the system under test: every enqueue that returned, and every execution, in one file.

Each entry is one line, appended in a single write: lines of several processes do not mix, and what a
killed process has written stays. Times are unix seconds.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

VARIABLE = "LEDGER"
"""The environment variable that tells the tasks of a worker where the ledger is."""

ENQUEUED, START, END = "enqueued", "start", "end"
RETURNED = "returned"


class Entry(NamedTuple):
    """`said` is what the producer promises of a task, what a task notes at its start, and how it ended at its end:
    RETURNED, or the error's name."""

    kind: str
    id: str
    attempt: int
    pid: int
    at: float
    said: str


class Ledger:
    """The file as this process sees it; any number of processes append to it."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)
        self._entries: dict[str, list[Entry]] = {ENQUEUED: [], START: [], END: []}
        self._read_to = 0

    def close(self) -> None:
        os.close(self._file)

    def enqueued(self, ids: Iterable[str], said: str = "") -> None:
        """These ids were stored: the enqueue returned."""
        now, pid = time.time(), os.getpid()
        self._append([Entry(ENQUEUED, id, 0, pid, now, said) for id in ids])

    @contextmanager
    def execution(self, id: str, attempt: int, said: str = "") -> Iterator[None]:
        """One execution, from its start to its end, however it ends."""
        self._append([Entry(START, id, attempt, os.getpid(), time.time(), said)])
        how = RETURNED
        try:
            yield
        except BaseException as error:
            how = type(error).__name__
            raise
        finally:
            self._append([Entry(END, id, attempt, os.getpid(), time.time(), how)])

    def entries(self, kind: str) -> list[Entry]:
        """All entries of a kind, in the order of their writing."""
        data = os.pread(self._file, os.fstat(self._file).st_size - self._read_to, self._read_to)
        whole = data[: data.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            entry = Entry(*json.loads(line))
            self._entries[entry.kind].append(entry)
        return self._entries[kind]

    def starts(self, id: str | None = None) -> list[Entry]:
        entries = self.entries(START)
        return entries if id is None else [entry for entry in entries if entry.id == id]

    def ended_before(self, moment: float, seconds: float) -> int:
        """How many executions ended so shortly before this moment."""
        return sum(moment - seconds < entry.at < moment for entry in self.ends())

    def ends(self, id: str | None = None) -> list[Entry]:
        entries = self.entries(END)
        return entries if id is None else [entry for entry in entries if entry.id == id]

    def successes(self) -> Counter[str]:
        """How often each id was executed to its end."""
        return Counter(entry.id for entry in self.entries(END) if entry.said == RETURNED)

    def lost(self) -> set[str]:
        """Enqueued, and never executed to the end."""
        return {entry.id for entry in self.entries(ENQUEUED)} - self.successes().keys()

    def repeated(self) -> list[Entry]:
        """The starts after which the same id was started once more."""
        last = {entry.id: entry for entry in self.starts()}
        return [entry for entry in self.starts() if last[entry.id] is not entry]

    def _append(self, entries: list[Entry]) -> None:
        os.write(self._file, b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))

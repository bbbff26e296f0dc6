"""What processes cost: CPU and memory of a worker with its children, and of a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError, ProcessLookupError)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


@dataclass(slots=True)
class Usage:
    """Of some processes, which may come and go."""

    processes: Callable[[], Iterable[psutil.Process]]
    _peaks: dict[int, int] = field(default_factory=dict[int, int])

    def cpu(self) -> float:
        """Seconds until now, children that ended and were waited for included."""
        total = 0.0
        for process in self.processes():
            with suppress(*GONE):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def peak(self) -> float:
        """The highest resident memory of each process that was seen here, added up, in MB; shared pages count twice."""
        for process in self.processes():
            with suppress(*GONE):
                status = Path(f"/proc/{process.pid}/status").read_text()
                found = re.search(r"VmHWM:\s+(\d+)", status)
                self._peaks[process.pid] = int(found[1]) if found else 0
        return sum(self._peaks.values()) / 1024

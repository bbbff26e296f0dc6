"""The results of a driver, as they are kept in JSON: numbers by workload, contender and name, one for each round."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from .contender import HERE, NO_RIVALS

FOLDER = HERE / "results"

Cells = dict[str, dict[str, dict[str, list[float]]]]


@dataclass(slots=True)
class Results:
    """`about` says of each contender its versions, its settings and what a crash does to it; or why it did not run.

    `earlier` says of what an earlier run has measured when that was, and on what: by workload and contender.
    """

    driver: str
    server: str
    durability: str
    machine: str = ""
    when: str = ""
    load: list[float] = field(default_factory=list[float])
    about: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    cells: Cells = field(default_factory=dict[str, dict[str, dict[str, list[float]]]])
    earlier: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def add(self, workload: str, contender: str, numbers: dict[str, float]) -> None:
        """One more round."""
        cell = self.cells.setdefault(workload, {}).setdefault(contender, {})
        for name, number in numbers.items():
            cell.setdefault(name, []).append(round(number, 4))

    def median(self, workload: str, contender: str, name: str) -> float | None:
        """Of the rounds; None if it was not measured."""
        numbers = self.cells.get(workload, {}).get(contender, {}).get(name)
        return statistics.median(numbers) if numbers else None

    def spread(self, workload: str, contender: str, name: str) -> tuple[float, float]:
        """The lowest and the highest round."""
        numbers = self.cells[workload][contender][name]
        return min(numbers), max(numbers)

    def rivals(self, workload: str, name: str, *, more: bool) -> list[str]:
        """Those that lost nothing and ran no more at a time than they were told to, the best one first."""
        found = {
            contender: self.median(workload, contender, name)
            for contender, cell in self.cells.get(workload, {}).items()
            if contender not in NO_RIVALS and not any(cell.get("lost", []) + cell.get("over", []))
        }
        measured = {contender: number for contender, number in found.items() if number is not None}
        return sorted(measured, key=measured.__getitem__, reverse=more)

    @property
    def busy(self) -> bool:
        """Whether others took part of the machine: the benchmark itself wants little more than its cores."""
        return max(self.load, default=0.0) > 2 * (os.cpu_count() or 1)

    def harmless(self, contender: str) -> bool:
        """Whether it lost and doubled nothing, and ran no more at a time than it was told to."""
        cells, harms = [cells.get(contender, {}) for cells in self.cells.values()], ("lost", "doubled", "over")
        return not any(number for cell in cells for name in harms for number in cell.get(name, []))

    def save(self, folder: Path = FOLDER) -> Path:
        """Writes it to the results. What this run did not measure stays as an earlier one has left it."""
        self.when = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
        self.machine = machine()
        path = folder / f"{self.driver}.json"
        kept = self.over(self.load_from(path)) if path.exists() else self
        folder.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(kept), indent=1) + "\n", "utf-8")
        return path

    def over(self, before: Self) -> Self:
        """These, and of an earlier run what they lack."""
        cells = {key: before.cells.get(key, {}) | self.cells.get(key, {}) for key in {**before.cells, **self.cells}}
        then = f"{before.when} UTC, {before.machine.partition(',')[0]}"
        earlier = {
            key: {name: before.earlier.get(key, {}).get(name, then) for name in kept}
            for key, measured in before.cells.items()
            if (kept := [name for name in measured if name not in self.cells.get(key, {})])
        }
        return replace(self, cells=cells, about=before.about | self.about, earlier=earlier)

    @classmethod
    def load_from(cls, path: Path) -> Self:
        """What `save` wrote."""
        return cls(**json.loads(path.read_text("utf-8")))


def machine() -> str:
    """Processor, cores, system and Python."""
    processor = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    model = processor[1] if processor else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel, python = platform.release().split("-")[0], platform.python_version()
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, {system}, Linux {kernel}, Python {python}"

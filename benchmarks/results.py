"""The results of a driver, as they are kept in JSON: numbers by workload, contender and name, one for each round."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import timeit
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from .contender import HERE, NO_RIVALS, contenders
from .workloads import WORKLOADS

FOLDER = HERE / "results"

Cells = dict[str, dict[str, dict[str, list[float]]]]


@dataclass(slots=True)
class Results:
    """`about` says of each contender its versions, its settings and what a crash does to it; or why it did not run.

    `earlier` says of what an earlier run has measured when that was, and on what: by workload and contender. In `about`
    it is what that run said of a contender, if the latest says otherwise. `seconds` is what the last whole run took.
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
    seconds: float = 0.0

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

    def rounds(self, workload: str, contender: str) -> int:
        """How often it was measured."""
        return max(map(len, self.cells[workload][contender].values()), default=0)

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
        """These, and of an earlier run what they lack and what is still measured."""
        before = before.without_the_unmeasured()
        cells = {key: before.cells.get(key, {}) | self.cells.get(key, {}) for key in {**before.cells, **self.cells}}
        then = f"{before.when} UTC, {before.machine.partition(',')[0]}"
        earlier = {
            key: {name: before.earlier.get(key, {}).get(name, then) for name in kept}
            for key, measured in before.cells.items()
            if (kept := [name for name in measured if name not in self.cells.get(key, {})])
        }
        staying = {name for names in earlier.values() for name in names}
        about = before.about | {name: self.said_over(before, name, stays=name in staying) for name in self.about}
        return replace(self, cells=cells, about=about, earlier=earlier, seconds=self.seconds or before.seconds)

    def said_over(self, before: Self, name: str, *, stays: bool) -> dict[str, Any]:
        """About a contender, with the errors of earlier runs that no number has replaced.

        If one of their numbers `stays`, so does what it was of.
        """
        old, new = dict(before.about.get(name, {})), dict(self.about[name])
        was = old.pop("earlier", {})
        mine = any(name in measured for measured in self.cells.values())
        if old and not mine and not {"error", "errors"} & set(new):
            return before.about[name]
        errors = {key: said for key, said in old.pop("errors", {}).items() if name not in self.cells.get(key, {})}
        if errors | new.get("errors", {}):
            new["errors"] = errors | new.get("errors", {})
        facts = ("settings", "versions")
        if any(old.get(fact) != new.get(fact) for fact in facts):
            was = {fact: old[fact] for fact in facts if fact in old}
        return new | {"earlier": was} if stays and was else new

    def without_the_unmeasured(self) -> Self:
        """What some plan measures: of contenders and workloads that there are, where they fit."""
        able = contenders(self.driver)
        known = {(workload.key, one.name) for one in able for workload in WORKLOADS if workload.fits(one, self.driver)}
        cells = {
            key: {name: cell for name, cell in measured.items() if (key, name) in known}
            for key, measured in self.cells.items()
        }
        about = {one.name: dict(self.about[one.name]) for one in able if one.name in self.about}
        for name, said in about.items():
            errors = {key: error for key, error in said.pop("errors", {}).items() if (key, name) in known}
            about[name] = said | ({"errors": errors} if errors else {})
        return replace(self, cells={key: measured for key, measured in cells.items() if measured}, about=about)

    @classmethod
    def load_from(cls, path: Path) -> Self:
        """What `save` wrote."""
        return cls(**json.loads(path.read_text("utf-8")))


def machine() -> str:
    """Processor, cores, pace, system and Python."""
    processor = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    model = processor[1] if processor else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel, python = platform.release().split("-")[0], platform.python_version()
    cores = f"{os.cpu_count()} cores, a million additions in {_pace():.0f} ms"
    return f"{model}, {cores}, {memory:.0f} GB, {system}, Linux {kernel}, Python {python}"


def _pace() -> float:
    """Milliseconds for a million additions in Python: processors of one name differ by half, and by what is beside."""
    return statistics.median(timeit.repeat("x = 0\nfor i in range(1_000_000): x += i", number=1, repeat=9)) * 1000

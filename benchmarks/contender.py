"""A contender as the harness sees it: what its file says, the environment that runs it, and its two commands."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENVIRONMENTS = ROOT / ".venvs"

OURS, EVENTS, WATCHED, FLOOR = "asyncdq", "asyncdq-events", "asyncdq-watched", "floor"
NO_RIVALS = (OURS, EVENTS, WATCHED, FLOOR)

FACTS = ("PACKAGES", "VERSIONS", "DRIVERS", "WORKER", "BESIDE", "IO", "CPU", "MOST", "SETTINGS", "CRASH")

AHEAD = 10
"""Slots of each of two workers that run CPU tasks, as many as ours has: with one they would wait for each trip."""

INSTALLED = """\
import importlib.metadata, json, sqlite3
versions = {one.name.lower().replace("_", "-"): one.version for one in importlib.metadata.distributions()}
print(json.dumps(versions | {"sqlite3": sqlite3.sqlite_version}))
"""


class Uninstallable(RuntimeError):
    """pip could not make a rival's environment; the text is the end of what it said."""


@dataclass(frozen=True)
class Contender:
    """`facts` are the literals of its module."""

    name: str
    module: str
    facts: Mapping[str, Any]

    @property
    def is_rival(self) -> bool:
        """Whether it is neither asyncdq nor the floor."""
        return self.name not in NO_RIVALS

    @property
    def most(self) -> int:
        """The highest concurrency that makes sense."""
        return int(self.facts.get("MOST", 10**9))

    def said(self, fact: str, driver: str) -> str:
        """What it says of itself, where that depends on the driver too."""
        told: Any = self.facts.get(fact, "")
        return str(told if isinstance(told, str) else told.get(driver) or told[""])

    @cached_property
    def python(self) -> Path:
        """The interpreter that runs it; the first call may install its packages. Raises Uninstallable."""
        packages = self.facts["PACKAGES"]
        return environment(self.name, packages) if packages else Path(sys.executable)

    def workers(self, task: str, url: str, concurrency: int) -> list[list[str]]:
        """The commands of what runs such tasks: a worker, or what has two processes for CPU tasks."""
        usual = self.facts["WORKER"]
        if task == "cpu" and "CPU" not in self.facts:
            return [self._command(usual, url, AHEAD)] * 2
        words = {"cpu": self.facts.get("CPU"), "io": self.facts.get("IO")}.get(task) or usual
        return [self._command(words, url, concurrency)]

    def beside(self, url: str) -> list[list[str]]:
        """The commands of what runs beside a worker, and is not measured."""
        return [self._command(self.facts["BESIDE"], url, 1)] if "BESIDE" in self.facts else []

    def producer(self, mode: str, task: str, count: int, rate: float) -> list[str]:
        """The command that enqueues."""
        told = [self.module, mode, task, f"{count}", f"{rate}"]
        return [str(self.python), "-m", "benchmarks.contend", *told]

    def versions(self, driver: str) -> dict[str, str]:
        """Of what it names, as installed; of SQLite that of its library. Raises Uninstallable."""
        told = subprocess.run([self.python, "-c", INSTALLED], capture_output=True, text=True, check=True).stdout
        versions: dict[str, str] = json.loads(told)
        return {name: versions[name] for name in self.facts["VERSIONS"][driver] if name in versions}

    def _command(self, words: Sequence[str], url: str, concurrency: int) -> list[str]:
        values = {
            "python": str(self.python),
            "bin": str(self.python.parent),
            "url": url,
            "concurrency": f"{concurrency}",
            "double": f"{concurrency * 2}",
            "half": f"{concurrency // 2}",
        }
        return [word.format(**values) for word in words]


def contenders(driver: str) -> list[Contender]:
    """Ours, the floor, and every rival that runs on this backend."""
    events = read(EVENTS, HERE / "events.py")
    found = [read(OURS, HERE / "ours.py"), events, read(WATCHED, HERE / "watched.py", events.facts)]
    found += [read(FLOOR, path) for path in HERE.glob(f"floors/{driver}.py")]
    found += [read(path.stem, path) for path in sorted(HERE.glob("rivals/[a-z]*.py"))]
    return [contender for contender in found if driver in contender.facts["DRIVERS"]]


def read(name: str, path: Path, others: Mapping[str, Any] = MappingProxyType({})) -> Contender:
    """A contender's literals, without running its file; what it does not say is as with `others`."""
    facts = dict(others)
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in FACTS:
            facts[node.targets[0].id] = literal(node.value, facts)
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return Contender(name, module, facts)


def literal(node: ast.expr, facts: Mapping[str, Any]) -> Any:
    """A literal, whose lists may begin with an earlier one: [*WORKER, "--flag"]."""
    if isinstance(node, ast.List) and node.elts and isinstance(node.elts[0], ast.Starred):
        first = node.elts[0].value
        assert isinstance(first, ast.Name)
        return [*facts[first.id], *(ast.literal_eval(word) for word in node.elts[1:])]
    return ast.literal_eval(node)


def environment(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of .venvs/bench-NAME, which holds these packages. Raises Uninstallable."""
    folder = ENVIRONMENTS / f"bench-{name}"
    key = hashlib.sha256(json.dumps([sys.version, *packages]).encode()).hexdigest()
    stamp = folder / ".made"
    if not (stamp.exists() and stamp.read_text() == key):
        print(f"{name}: installing {' '.join(packages)}", flush=True)
        run(sys.executable, "-m", "venv", "--clear", folder)
        run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        stamp.write_text(key)
    return folder / "bin" / "python"


def run(*command: str | Path) -> None:
    """Raises Uninstallable."""
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise Uninstallable(answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else f"{command} failed")

"""Worker processes whose clock is wrong, by the library faketime."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .workers import Site

AVAILABLE = shutil.which("faketime") is not None


@contextmanager
def wrong(site: Site, seconds: float) -> Iterator[None]:
    """Processes that the site starts now have a wall clock that is off by so much; their monotonic one is right."""
    command = ["faketime", "-f", f"{seconds:+}s", "env"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    clock = dict(line.split("=", 1) for line in said.splitlines() if line.startswith(("LD_PRELOAD=", "FAKETIME=")))
    honest = dict(site.environment)
    site.environment |= clock | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    try:
        yield
    finally:
        site.environment.clear()
        site.environment.update(honest)


def sweep(pids: Iterable[int]) -> None:
    """Remove what faketime leaves in memory when its process is killed."""
    for pid in pids:
        for left in Path("/dev/shm").glob(f"*faketime_*_{pid}"):
            left.unlink()

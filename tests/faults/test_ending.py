"""A run that is told to end before its time leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import psutil
import pytest

from tests.integration.workers import ROOT, until
from tests.servers.fixtures import skip_unless_selected
from tests.servers.folder import processes_in

from . import endurance, outages
from .scenario import Scenario

BACKGROUND = '"$@" & echo $!; wait $!'
"""A shell without job control starts what is in the background with SIGINT ignored."""


def worked(folder: Path) -> bool:
    """Whether a worker of the run has started a task."""
    return any('["start"' in ledger.read_text() for ledger in folder.rglob("ledger"))


def halted(folder: Path) -> bool:
    """Whether the run has frozen its server."""
    return any(each.status() == psutil.STATUS_STOPPED for each in processes_in(folder))


def files(folder: Path) -> list[Path]:
    """What lies in it, but for folders."""
    return [file for file in folder.rglob("*") if not file.is_dir()]


CASES = [
    pytest.param(endurance.SOAK, worked, SIGINT, id="redis-in-work"),
    pytest.param(outages.FROZEN, halted, SIGTERM, id="redis-frozen"),
]


@pytest.mark.parametrize(("scenario", "moment", "number"), CASES)
async def test_a_run_in_the_background_of_a_script_leaves_no_process_and_no_file_when_told_to_end(
    scenario: Scenario,
    moment: Callable[[Path], bool],
    number: Signals,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    skip_unless_selected("redis", request.config)
    arguments = ["-m", "tests.faults", "--drivers", "redis", "--scale", "short", "--only", scenario.name]
    script = await asyncio.create_subprocess_exec(
        *("sh", "-c", BACKGROUND, "sh", sys.executable, *arguments),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # all that it starts works in a folder in there
        stdout=PIPE,
    )
    assert script.stdout is not None
    pid = int(await script.stdout.readline())
    await until(lambda: moment(tmp_path))
    os.kill(pid, number)
    assert await asyncio.wait_for(script.wait(), 30) == 128 + number
    assert processes_in(tmp_path) == []
    assert files(tmp_path) == []

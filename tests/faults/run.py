"""Running scenarios: one on one driver, all that apply on one driver, and the planted bugs."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.workers import Site, site_on
from tests.servers import Server

from .grounds import Ground
from .planted import PLANTED, VARIABLE
from .report import Report
from .scale import LOOK, Scale
from .scenario import Scenario
from .trial import Trial


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario on one driver. `why` it was left out, if there is no report; `kept`: its ledger and logs."""

    driver: str
    scenario: Scenario
    report: Report | None = None
    why: str = ""
    seconds: float = 0.0
    kept: str = ""

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return self.report is not None and bool(self.report.violations)


@asynccontextmanager
async def ground_for(ground: Ground, server: Server | None) -> AsyncIterator[Site]:
    """A site on a new and empty store; the server runs before and after, whatever is done to it meanwhile."""
    with tempfile.TemporaryDirectory(prefix="asyncdq-faults-") as folder:
        async with site_on(ground.store(server, Path(folder)), Path(folder)) as site:
            try:
                yield site
            finally:
                if server is not None:  # first of all: a client that takes its leave of a frozen one waits long
                    server.resume()
                    server.start()


async def attempt(
    ground: Ground, server: Server | None, scenario: Scenario, seed: int, scale: Scale, bug: str = ""
) -> Row:
    """Run it, unless it says nothing about this driver."""
    if why := scenario.left_out(ground):
        return Row(ground.driver, scenario, why=why)
    rng = random.Random(f"{seed} {ground.driver} {scenario.name}")
    began, kept = time.monotonic(), ""
    async with ground_for(ground, server) as site:
        if bug:
            site.environment[VARIABLE] = bug
        extra = (PLANTED,) if bug else ()
        report = await scenario.run(Trial(ground, site, server, rng, scale, extra))
        if report.violations and not bug:
            kept = tempfile.mkdtemp(prefix="asyncdq-faults-kept-")
            shutil.copytree(site.folder, kept, ignore=_sockets, dirs_exist_ok=True)
    await asyncio.sleep(LOOK)  # so that the connections of a proxy come to their end before the event loop does
    return Row(ground.driver, scenario, report, seconds=time.monotonic() - began, kept=kept)


def _sockets(folder: str, names: list[str]) -> set[str]:
    """What cannot be copied: the workers on SQLite wake each other through sockets beside the file."""
    return {name for name in names if Path(folder, name).is_socket()}


def lines_of(row: Row) -> Iterable[str]:
    """What is printed when it is over."""
    head = f"{row.driver:10}{row.scenario.number:>4} {row.scenario.name:60}"
    if row.report is None:
        yield f"{head} left out: {row.why}"
        return
    yield f"{head} {'FAILED' if row.failed else 'ok':6} {row.seconds:6.1f} s"
    yield from (f"{'':15} {violation}" for violation in row.report.violations)
    if row.kept:
        yield f"{'':15} its ledger and the logs of its workers are kept in {row.kept}"

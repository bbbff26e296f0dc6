"""The self-check: each planted bug must be found, by the scenario that looks for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.servers import Server

from . import clocks, deaths, order, poison, shutdown
from .grounds import Ground
from .planted import BUGS
from .run import attempt
from .scale import SHORT
from .scenario import Scenario

SCALE = replace(SHORT, patience=6.0)
"""What a bug has lost never ends: it is not waited for as long as usual."""


@dataclass(frozen=True, slots=True)
class Check:
    """`word` stands in what the scenario says to be wrong when the workers have this bug."""

    bug: str
    scenario: Scenario
    word: str
    needs: frozenset[str] = frozenset()


CHECKS = (
    Check("EarlyOutcome", deaths.KILLED, "lost"),
    Check("NoLease", deaths.HEALTHY, "duplicates"),
    Check("NoFence", deaths.FROZEN, "the bound is", frozenset({"receipt"})),
    Check("DoubleClaim", shutdown.DRAINED, "duplicates"),
    Check("WrongOrder", order.PRIORITIES, "out of order"),
    Check("ForgottenDelay", clocks.RETRIED, "early"),
    Check("DroppedOutcome", shutdown.OUT_OF_GRACE, "still leased", frozenset({"leases"})),
    Check("NeighbourBuried", poison.EXITS, "buried innocents"),
)
assert {check.bug for check in CHECKS} == BUGS.keys()


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a bug was found on a driver; `said` is what the scenario found to be wrong."""

    driver: str
    check: Check
    said: tuple[str, ...] = ()
    why: str = ""

    @property
    def missed(self) -> bool:
        """The harness is blind to it."""
        return not self.why and not any(self.check.word in each for each in self.said)

    def __str__(self) -> str:
        verdict = f"left out: {self.why}" if self.why else "NOT FOUND" if self.missed else "found"
        return f"{self.driver:10} planted {self.check.bug}: {'; '.join([verdict, *self.said])}"


async def find(ground: Ground, server: Server | None, check: Check, seed: int, tries: int = 3) -> Finding:
    """Run its scenario with workers that have the bug; once more if it hid."""
    if why := next((ground.lacks[need] for need in sorted(check.needs) if need in ground.lacks), None):
        return Finding(ground.driver, check, why=why)
    row = await attempt(ground, server, check.scenario, seed, SCALE, check.bug)
    said = row.report.violations if row.report is not None else []
    finding = Finding(ground.driver, check, tuple(said), row.why)
    return await find(ground, server, check, seed + 1, tries - 1) if finding.missed and tries > 1 else finding

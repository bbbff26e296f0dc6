"""The short form of `make faults`: a few scenarios on two drivers, and the planted bugs on one.

The whole is `make faults`, or `python -m tests.faults`: every scenario, every driver, ten thousand tasks.
"""

from __future__ import annotations

import pytest

from tests.servers.fixtures import skip_unless_selected

from . import clocks, deaths, network, outages, sharing, shutdown
from .grounds import GROUNDS
from .run import attempt
from .scale import SHORT
from .scenario import Scenario
from .selfcheck import CHECKS, Check, find

SEED = 1

FEW = (
    deaths.KILLED,
    deaths.FROZEN,
    outages.KILLED,
    network.LOST_OUTCOME,
    clocks.TOGETHER,
    clocks.RETRIED,
    shutdown.OUT_OF_GRACE,
    shutdown.IN_THE_GAP,
    sharing.LARGE,
)

CASES = [
    pytest.param(driver, scenario, id=f"{driver}-{scenario.name}")
    for driver in ("sqlite", "redis")
    for scenario in FEW
    if not scenario.left_out(GROUNDS[driver])
]


@pytest.mark.parametrize(("driver", "scenario"), CASES)
async def test_nothing_goes_wrong_that_must_not(
    driver: str, scenario: Scenario, request: pytest.FixtureRequest
) -> None:
    skip_unless_selected(driver, request.config)
    with GROUNDS[driver].server() as server:
        row = await attempt(GROUNDS[driver], server, scenario, SEED, SHORT)
    assert row.report is not None
    assert row.report.violations == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"sqlite-{check.bug}")
async def test_a_planted_bug_is_found(check: Check, request: pytest.FixtureRequest) -> None:
    skip_unless_selected("sqlite", request.config)
    finding = await find(GROUNDS["sqlite"], None, check, SEED)
    assert not finding.missed, str(finding)

"""All scenarios, in the order in which they are run."""

from __future__ import annotations

from . import clocks, deaths, disks, endurance, network, order, outages, piles, poison, producers, sharing, shutdown
from .scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *deaths.SCENARIOS,
    *outages.SCENARIOS,
    *network.SCENARIOS,
    *poison.SCENARIOS,
    *clocks.SCENARIOS,
    *shutdown.SCENARIOS,
    *producers.SCENARIOS,
    *order.SCENARIOS,
    *sharing.SCENARIOS,
    *piles.SCENARIOS,
    *endurance.SCENARIOS,
    *disks.SCENARIOS,
)

"""Seeded worlds: workers that stop, crash, freeze and are replaced, tasks of every kind, a server that fails.

ASYNCDQ_SIMULATION_SEEDS=5000 pytest tests/simulation/test_world.py     more of them
ASYNCDQ_SIMULATION_SEED=17 pytest tests/simulation/test_world.py        this one again, with its trace
"""

from __future__ import annotations

import pytest

from .seeds import seeds
from .virtual import Deadlock, run
from .world import HORIZON, World


@pytest.mark.timeout(0)  # as long as the number of seeds asks for; virtual time has its own end
def test_whatever_happens_nothing_is_lost_run_twice_at_once_early_or_for_ever() -> None:
    for seed in seeds(200):
        _check(seed)


def _check(seed: int) -> None:
    world = World(seed)
    try:
        run(world.live(), HORIZON)
    except Deadlock as deadlock:
        world.ledger.violations.append(str(deadlock))
    if world.ledger.violations:
        broken, trace = "\n".join(world.ledger.violations), "\n".join(world.ledger.trace)
        pytest.fail(f"ASYNCDQ_SIMULATION_SEED={seed} breaks a promise:\n{broken}\n\n{trace}", pytrace=False)

"""Seeded worlds: workers that stop, crash, freeze and are replaced, tasks of every kind, a server that fails.

make simulate SEEDS=1000000     more of them
make simulate SEED=17           this one again, with its story
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from .seeds import seeds
from .simulate import simulate


@pytest.mark.timeout(0)  # as long as the number of seeds asks for; virtual time has its own end
def test_whatever_happens_nothing_is_lost_run_twice_at_once_early_or_for_ever() -> None:
    for seed in seeds(4_000):
        ledger = simulate(seed)
        if ledger.violations:
            broken, trace = "\n".join(ledger.violations), "\n".join(ledger.trace)
            pytest.fail(f"make simulate SEED={seed} breaks a promise:\n{broken}\n\n{trace}", pytrace=False)


def test_a_seed_tells_the_same_story_again() -> None:
    for seed in (1, 3, 77, 100, 2000):
        assert simulate(seed).trace == simulate(seed).trace


def test_a_single_seed_prints_its_story() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "3"]  # not here: it makes its process a faster one
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "w1 begins" in told.stdout

"""The simulation's own test: every planted bug is found within some seeds, and the plain parts break nothing."""

from __future__ import annotations

import pytest

from . import planted, planted_backend
from .simulate import simulate
from .variant import Variant

SEEDS = 4_000  # at most: most bugs show within a few dozen

PLANTED = [
    (Variant(parts=planted.Unrenewed()), "is alive and well, and lost its lease"),
    (Variant(parts=planted.Dropped()), "is stranded until"),
    (Variant(parts=planted.Trusting()), "is buried as 'lost'"),
    (Variant(parts=planted.Late()), "without a lease"),
    (Variant(parts=planted.Deaf()), "it is no longer its own"),
    (Variant(parts=planted.Leaky()), "is stranded until"),
    (Variant(parts=planted.EarlyBurst()), "has ended its burst"),
    (Variant(parts=planted.Greedy()), "was to end after"),
    (Variant(parts=planted.Uncapped()), "has run for"),
    (Variant(parts=planted.Counting()), "times and is to run again"),
    (Variant(parts=planted.Resigned()), "has forgotten the outcome"),
    (Variant(parts=planted.Drowsy()), "has not ended"),
    (Variant(parts=planted.Merciful()), "while it runs in"),
    (Variant(parts=planted.Rash()), "while it runs in"),
    (Variant(driver=planted_backend.EarlyOutcome), "is done, and has not run to its end"),
    (Variant(server=planted_backend.Unfenced), "which is not its own"),
    (Variant(server=planted_backend.Twofold), "is claimed twice"),
    (Variant(server=planted_backend.Impatient), "early"),
    (Variant(server=planted_backend.Blaming), "is buried as 'lost'"),
]


def name(variant: Variant) -> str:
    """The planted part's."""
    parts = type(variant.parts), variant.driver, variant.server
    return next(part.__name__ for part in parts if part.__module__ in (planted.__name__, planted_backend.__name__))


@pytest.mark.timeout(0)  # virtual time has its own end
@pytest.mark.parametrize(("variant", "complaint"), PLANTED, ids=[name(variant) for variant, _ in PLANTED])
def test_a_planted_bug_is_found(variant: Variant, complaint: str) -> None:
    assert any(complaint in rule for seed in range(SEEDS) for rule in simulate(seed, variant).violations)

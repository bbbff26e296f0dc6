"""The simulation's own test: every planted bug is found within a few seeds, and the plain parts break nothing."""

from __future__ import annotations

import pytest

from .planted import Altered, Blaming, Dropped, EarlyOutcome, Impatient, Trusting, Twofold, Unfenced, Unrenewed
from .virtual import Deadlock
from .world import Variant, simulate

SEEDS = 60

PLANTED = [
    (Variant(worker=Unrenewed), "is alive and well, and lost its lease"),
    (Variant(worker=Dropped), "is stranded until"),
    (Variant(worker=Trusting), "is buried as 'lost'"),
    (Variant(driver=EarlyOutcome), "is done, and has not run to its end"),
    (Variant(server=Unfenced), "which is not its own"),
    (Variant(server=Twofold), "is claimed twice"),
    (Variant(server=Impatient), "early"),
    (Variant(server=Blaming), "is buried as 'lost'"),
]


@pytest.mark.parametrize(("variant", "complaint"), PLANTED, ids=lambda each: getattr(each, "name", None))
def test_a_planted_bug_is_found(variant: Variant, complaint: str) -> None:
    assert any(complaint in rule for seed in range(SEEDS) for rule in _violations(seed, variant))


def test_the_worker_that_bugs_are_planted_in_has_none_of_its_own() -> None:
    assert [rule for seed in range(20) for rule in _violations(seed, Variant(worker=Altered))] == []


def _violations(seed: int, variant: Variant) -> list[str]:
    try:
        return simulate(seed, variant).violations
    except Deadlock as deadlock:  # a bug may also be that it never ends
        return [str(deadlock)]

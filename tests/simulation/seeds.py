"""Which seeds to try. ASYNCDQ_SIMULATION_SEEDS=5000 tries more of them, ASYNCDQ_SIMULATION_SEED=17 only that one."""

from __future__ import annotations

import os


def seeds(usual: int) -> range:
    """The usual number of seeds from 0, unless the environment says otherwise."""
    if only := os.environ.get("ASYNCDQ_SIMULATION_SEED"):
        return range(int(only), int(only) + 1)
    return range(int(os.environ.get("ASYNCDQ_SIMULATION_SEEDS", usual)))

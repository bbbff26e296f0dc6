"""Which seeds to try. ASYNCDQ_SIMULATION_SEEDS=5000 tries more of them, ASYNCDQ_SIMULATION_SEED=17 only that one."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any

from .virtual import run


def seeds(usual: int) -> range:
    """The usual number of seeds from 0, unless the environment says otherwise."""
    if only := os.environ.get("ASYNCDQ_SIMULATION_SEED"):
        return range(int(only), int(only) + 1)
    return range(int(os.environ.get("ASYNCDQ_SIMULATION_SEEDS", usual)))


def each_world(usual: int, world: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Live through the worlds of these seeds; an AssertionError names the one in which it happened."""
    for seed in seeds(usual):
        try:
            run(world(seed))
        except AssertionError as error:
            raise AssertionError(f"ASYNCDQ_SIMULATION_SEED={seed}: {error}") from error

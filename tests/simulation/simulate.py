"""What a seed stands for: a tiny world; now and then one of whole workers, and rarely a large one."""

from __future__ import annotations

from . import scene, world
from .ledger import Ledger
from .scene import Scene
from .size import SMALL, TINY
from .variant import Variant
from .virtual import Deadlock, VirtualLoop
from .world import World

WHOLE = 100  # each such seed is a small world of whole workers
LARGE = 2_000  # each such seed is a large one


def simulate(seed: int, variant: Variant | None = None) -> Ledger:
    """Live through the world of this seed; the ledger says what happened, and what must not have."""
    large = seed % LARGE == 0
    loop = VirtualLoop(world.HORIZON if large else scene.HORIZON)
    made = World(seed, loop, variant) if large else Scene(seed, loop, TINY if seed % WHOLE else SMALL, variant)
    try:
        loop.run_until_complete(made.live())
    except Deadlock as deadlock:
        if not made.ledger.violations:
            made.ledger.violations.append(str(deadlock))
    finally:
        made.server.closed = made.ledger.closed = True
        loop.finish()
    return made.ledger

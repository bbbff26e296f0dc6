"""How large a small world is."""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import KINDS, TINY_KINDS, Kinds


@dataclass(frozen=True, slots=True)
class Size:
    """What the dice of a scene have on their sides."""

    bare: bool  # its workers are bare hearts
    attempts: tuple[int, ...]  # of each task
    tasks: tuple[int, ...]
    kinds: Kinds
    later: float  # how likely a task is enqueued when its worker waits already
    odd: float  # how likely it has a delay, and how likely a lease of its own
    mishaps: tuple[int, ...]  # as far as each task survives them
    steps: int  # callbacks within which a worker's fate is decided: about as many as its life has
    seconds: float  # or within these
    killers: float  # how likely one of the tasks kills its workers; then there is no other mishap
    company: float  # how likely a second worker comes, and
    told: float  # how likely a worker is told to end before all is done
    ways: tuple[str, ...]  # to tell it


TINY = Size(
    bare=True,
    attempts=(2,),
    tasks=(1, 1, 1, 1, 1, 1, 2),
    kinds=TINY_KINDS,
    later=0.2,
    odd=0.12,
    mishaps=(0, 1, 1),
    steps=50,
    seconds=6.0,
    killers=0.04,
    company=0.1,
    told=0.12,
    ways=("stop", "stop", "twice", "now"),
)
SMALL = Size(
    bare=False,
    attempts=(2, 2, 3),
    tasks=(1, 1, 2, 2, 3, 4),
    kinds=KINDS,
    later=0.4,
    odd=0.2,
    mishaps=(0, 1, 1, 2),
    steps=200,
    seconds=12.0,
    killers=0.2,
    company=0.5,
    told=0.3,
    ways=("stop", "stop", "twice", "now", "cancel"),
)

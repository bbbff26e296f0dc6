"""The dice of a seed: one sequence of random numbers for all that happens in its world."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

DICE: random.Random = vars(random)["_inst"]
"""Those of the product, too, which draws its pauses and jitter from `random.random()`: so one seed fixes all."""

seed, roll, uniform = DICE.seed, DICE.random, DICE.uniform


def pick(sides: Sequence[T]) -> T:
    """One of these, as `random.choice`, in a third of its time: a world draws thirty times."""
    return sides[int(roll() * len(sides))]

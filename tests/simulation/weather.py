"""Networks that harm by seed, within limits: so what a task survives is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asyncdq.errors import DriverError

from .scripted import CALL_TIMEOUT, Fate, Network


class StormyNetwork(Network):
    """Loses, delays and refuses by seed, while `harm` lasts: each loss may cost a message one lease."""

    def __init__(self, seed: int, harm: int) -> None:
        super().__init__(seed)
        self.harm = harm

    def fate(self, verb: str) -> Fate:
        """As usual, but now and then it is lost or slow."""
        usual = super().fate(verb)
        roll = self.random.random()
        if self.harm < 1 or usual.loses != "nothing" or roll > 0.03:
            return usual
        self.harm -= 1
        if roll < 0.01:
            return replace(usual, loses="reply")
        if roll < 0.02:
            return replace(usual, loses="request")
        return Fate(self.random.uniform(0.0, CALL_TIMEOUT * 0.9), self.random.uniform(0.0, 1.0))


class MoodyNetwork(StormyNetwork):
    """Refuses some outcomes and renewals, too."""

    def refuse(self, verb: str, ids: Sequence[str]) -> None:
        """Refuse the whole call for one of its ids."""
        if verb != "enqueue" and self.harm > 0 and self.random.random() < 0.02:
            self.harm -= 1
            raise DriverError(f"{verb} refused for {self.random.choice(list(ids)) if ids else 'nothing'}")

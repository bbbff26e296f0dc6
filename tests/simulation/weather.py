"""Networks that harm by seed, within limits: so what a task survives is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

from asyncdq.errors import Blocked, DriverError

from . import dice
from .dice import pick, roll
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
            return usual._replace(loses="reply")
        if roll < 0.02:
            return usual._replace(loses="request")
        return Fate(self.random.uniform(0.0, CALL_TIMEOUT * 0.9), self.random.uniform(0.0, 1.0))


class MoodyNetwork(StormyNetwork):
    """Refuses some outcomes and renewals, too."""

    def refuse(self, verb: str, ids: Sequence[str]) -> None:
        """Refuse the whole call for one of its ids."""
        if verb != "enqueue" and self.harm > 0 and self.random.random() < 0.02:
            self.harm -= 1
            error = self.random.choice((DriverError, Blocked))
            raise error(f"{verb} refused for {self.random.choice(list(ids)) if ids else 'nothing'}")


class PlannedNetwork(Network):
    """One call of all goes wrong, if that is planned."""

    def __init__(self) -> None:
        # not the base's: that would draw from dice of its own
        self.random, self.down = dice.DICE, False
        self.slowest = pick((0.005, 0.005, 0.5))
        self._verb = ""
        self._calls_before = 0
        self._refuses = False

    def plan(self, verb: str, number: int) -> None:
        """One of these calls, counted from 0."""
        self._verb, self._calls_before = verb, number

    def fate(self, verb: str) -> Fate:
        """As usual, but for that one call."""
        slowest = self.slowest
        if verb == self._verb and self._is_due():
            match pick(range(6)):
                case 0:
                    self._refuses = True
                case 1:
                    return Fate(roll() * CALL_TIMEOUT * 0.9, roll())
                case 2 | 3:
                    return Fate(roll() * slowest, 0.0, "request")
                case _:
                    return Fate(roll() * slowest, 0.0, "reply")
        return Fate(roll() * slowest, roll() * slowest, "request" if self.down else "nothing")

    def _is_due(self) -> bool:
        self._calls_before -= 1
        return self._calls_before == -1

    def refuse(self, verb: str, ids: Sequence[str]) -> None:
        """Refuse an outcome or a renewal, for good or for now."""
        if self._refuses:
            self._refuses = False
            if verb != "enqueue":
                raise pick((DriverError, Blocked))(f"{verb} refused")

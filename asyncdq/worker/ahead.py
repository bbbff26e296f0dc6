"""Claiming ahead: how many messages beyond its slots a worker claims, to hide the round trip and to share its cost."""

from __future__ import annotations

from collections import deque

SOON = 0.015  # seconds within which, on average, a slot is free for what was claimed ahead: some round trips
TINY_TASK = 0.001  # seconds: below this average, a round trip for a few costs more than running them
HANDFUL = 64  # tasks in hand that make a round trip cheap, however few slots there are
TRIP = 0.001  # seconds of a round trip, about
SAMPLE = 100  # tasks


class Ahead:
    """As many as slots become free in a moment, at most as many as there are slots; or what the operator says.

    So a slot need not wait for a round trip, and what waits for a slot could hardly run sooner elsewhere. While tasks
    are tiny, a worker with few slots has a handful in all, also where there is no round trip to hide.
    """

    def __init__(self, slots: int, fixed: int | None, worthwhile: bool) -> None:
        """`fixed` is the operator's choice, `worthwhile` the backend's word."""
        self._slots = slots
        self._fixed = fixed
        self._worthwhile = worthwhile
        self._durations: deque[float] = deque(maxlen=SAMPLE)
        self._total = 0.0
        self._paused_for = 0

    def room(self) -> int:
        """How many may be claimed beyond the slots now."""
        if self._paused_for:
            return 0
        if self._fixed is not None:
            return self._fixed
        if not self._durations:
            return 0
        average = self._average()
        ahead = min(self._slots, int(self._slots * SOON / average)) if self._worthwhile else 0
        return max(ahead, HANDFUL - self._slots) if average < TINY_TASK else ahead

    def least(self, ahead: int) -> int:
        """The smallest claim that is worth its round trip, while so many may be claimed ahead.

        It is what ends in the time of a round trip, and not more than half of what may be in hand: the other half is
        run meanwhile, so neither waits for the other.
        """
        if not self._durations:
            return 1
        return max(1, int(min(ahead, (self._slots + ahead) / 2, self._slots * TRIP / self._average())))

    def ended(self, duration: float) -> None:
        """A task has ended after `duration` seconds."""
        if len(self._durations) == SAMPLE:
            self._total -= self._durations[0]
        self._durations.append(duration)
        self._total += duration
        if self._paused_for:
            self._paused_for -= 1

    def _average(self) -> float:
        """Seconds that the last tasks took."""
        return max(self._total / len(self._durations), 1e-6)  # zero on a coarse clock

    def pause(self) -> None:
        """What was claimed ahead has waited too long: claim nothing ahead until the slots have turned over."""
        self._paused_for = self._slots

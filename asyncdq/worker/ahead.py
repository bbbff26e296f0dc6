"""Claiming ahead: how many messages beyond its slots a worker claims, to hide the round trip and to share its cost."""

from __future__ import annotations

from collections import deque

SOON = 0.015  # seconds within which, on average, a slot is free for what was claimed ahead: some round trips
TINY_TASK = 0.001  # seconds: below this average, a round trip for a few costs more than running them
HANDFUL = 256  # tasks ahead that make a round trip cheap, however few slots there are
SAMPLE = 100  # tasks


class Ahead:
    """As many as find a slot in a moment, at most as many as there are slots or a handful; or what the operator says.

    So no slot waits for a round trip, and what waits for a slot could hardly run sooner elsewhere. Where there is no
    round trip to hide, only tiny tasks are claimed ahead.
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
        return min(max(self._slots, HANDFUL), self._soon()) if self._worthwhile or self._tiny() else 0

    def least(self, ahead: int) -> int:
        """The smallest claim that is worth its round trip, while so many may be claimed ahead.

        Half of what is ahead: the other half is run meanwhile, so worker and backend do not wait for each other.
        """
        return max(1, min(ahead, self._soon()) // 2)

    def ended(self, duration: float) -> None:
        """A task has ended after `duration` seconds."""
        if len(self._durations) == SAMPLE:
            self._total -= self._durations[0]
        self._durations.append(duration)
        self._total += duration
        if self._paused_for:
            self._paused_for -= 1

    def pause(self) -> None:
        """What was claimed ahead has waited too long: claim nothing ahead until the slots have turned over."""
        self._paused_for = self._slots

    def _soon(self) -> int:
        """How many more than it has slots this worker could start SOON."""
        return int(self._slots * SOON * len(self._durations) / max(self._total, 1e-6))  # zero on a coarse clock

    def _tiny(self) -> bool:
        return self._total < TINY_TASK * len(self._durations)

"""Claiming ahead: how many messages beyond its slots a worker claims, to hide the round trip."""

from __future__ import annotations

from collections import deque

SHORT_TASK = 0.005  # seconds: only below this average is a round trip worth hiding
SAMPLE = 100  # tasks


class Ahead:
    """As many as there are slots while the last tasks were short, else none; or what the operator says."""

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
        if not self._worthwhile or not self._durations:
            return 0
        return self._slots if self._total < SHORT_TASK * len(self._durations) else 0

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

"""Claiming ahead: how many messages beyond its slots a worker claims, to hide the round trip and to share its cost."""

from __future__ import annotations

import math
from collections import deque

SOON = 0.015  # seconds within which, on average, a slot is free for what was claimed ahead: some round trips
HANDFUL = 1024  # tasks ahead that make a round trip cheap, however few slots there are
FEW = 256  # as many where there is no round trip to hide
MOST = 16 * 2**20  # bytes of bodies ahead, by the average of the last tasks: they fill the worker's memory
AT_PACE = 0.5  # seconds within which what is ahead begins, at the pace of late: half of those after which it is parked
ONLY_ONCE = 60.0  # seconds without tasks that have one attempt before anything is claimed ahead again
MORE = 1.25  # times what was run: as much might have been, where slots had nothing to do in between
WINDOW = 0.25  # seconds over which the pace is measured
FIRST = 64  # tasks ahead, of a worker that has just begun, or had nothing to do
SAMPLE = 100  # tasks


class Ahead:
    """As many as find a slot in a moment, at most as many as there are slots or a handful; or what the operator says.

    So no slot waits for a round trip, and what waits for a slot could hardly run sooner elsewhere. Where there is no
    round trip to hide, few share the cost of a claim as well. And where slots wait for a slow backend to take the
    outcomes, or for a busy machine, tasks that take no time begin late all the same: so the pace is a bound, too.

    Nothing is claimed ahead for a minute after more tasks with one attempt came than there are slots: if the worker is
    killed, each of those that it holds is buried, whether it had begun or not.
    """

    def __init__(self, slots: int, fixed: int | None, worthwhile: bool) -> None:
        """`fixed` is the operator's choice, `worthwhile` the backend's word."""
        self._slots = slots
        self._fixed = fixed
        self._worthwhile = worthwhile
        self._sample: deque[tuple[float, int]] = deque(maxlen=SAMPLE)
        self._seconds = 0.0
        self._bytes = 0
        self._paused_for = 0
        self._holds_back_until = -math.inf
        self._pace: float | None = None  # tasks that end in a second
        self._full_pace: float | None = None  # those that did when something waited all the time
        self._since, self._ended, self._lasted = -math.inf, 0, False

    def room(self, now: float, waiting: bool) -> int:
        """How many may be claimed beyond the slots at this time of the event loop.

        `waiting`: something has waited for a slot all the time since this was asked last.
        """
        self._measure(now, waiting)
        if self._paused_for:
            return 0
        if self._fixed is not None:
            return self._fixed
        if now < self._holds_back_until:
            return 0
        most = max(self._slots, HANDFUL if self._worthwhile else FEW)
        return min(most, self._soon(), self._startable(), MOST * len(self._sample) // max(self._bytes, 1))

    def hold_back(self, now: float, surplus: bool) -> None:
        """Tasks with one attempt have come; `surplus`: more than there are slots."""
        if surplus or now < self._holds_back_until:
            self._holds_back_until = now + ONLY_ONCE

    def least(self, ahead: int) -> int:
        """The smallest claim that is worth its round trip, while so many may be claimed ahead.

        Half of what is ahead: the other half is run meanwhile, so worker and backend do not wait for each other.
        """
        return max(1, min(ahead, self._soon()) // 2)

    def ended(self, duration: float, size: int) -> None:
        """A task with a body of `size` bytes has ended after `duration` seconds."""
        if len(self._sample) == SAMPLE:
            seconds, bytes_ = self._sample[0]
            self._seconds -= seconds
            self._bytes -= bytes_
        self._ended += 1
        self._sample.append((duration, size))
        self._seconds += duration
        self._bytes += size
        if self._paused_for:
            self._paused_for -= 1

    def had_nothing(self, now: float) -> None:
        """Until now there was nothing to do: what was done says less than what was done when there was enough."""
        self._pace = self._full_pace
        self._since, self._ended, self._lasted = now, 0, True

    def pause(self) -> None:
        """That was too much: claim nothing ahead until the slots have turned over."""
        self._paused_for = self._slots

    def _measure(self, now: float, waiting: bool) -> None:
        """How fast do the slots turn over? Where they had nothing to do in between, as fast as that at least."""
        self._lasted = self._lasted and waiting
        if (seconds := now - self._since) < WINDOW:
            return
        if self._ended:
            pace = self._ended / seconds
            if self._lasted:
                self._full_pace = pace
            self._pace = pace if self._lasted else max(self._pace or 0.0, MORE * pace)
        self._since, self._ended, self._lasted = now, 0, True

    def _startable(self) -> int:
        """How many more than it has slots could begin in half a second; at first, some more than have ended."""
        return FIRST + 2 * self._ended if self._pace is None else int(self._pace * AT_PACE)

    def _soon(self) -> int:
        """How many more than it has slots this worker could start SOON."""
        return int(self._slots * SOON * len(self._sample) / max(self._seconds, 1e-6))  # zero on a coarse clock

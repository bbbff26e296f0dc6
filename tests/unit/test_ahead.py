from __future__ import annotations

import math
from collections import deque

import pytest

from asyncdq.worker.ahead import FIRST, Ahead

MIB = 2**20


def room_after(planned: Ahead, tasks: int, now: float, waiting: bool) -> int:
    """So many tiny tasks have ended since it was asked last."""
    for _ in range(tasks):
        planned.ended(0.0001, 100)
    return planned.room(now, waiting)


@pytest.mark.parametrize(
    ("seconds", "size", "ahead"),
    [
        pytest.param(0.0001, 100, 1_024, id="tiny"),
        pytest.param(0.004, 100, 37, id="four-milliseconds"),
        pytest.param(2.0, 100, 0, id="long"),
        pytest.param(0.0001, 4 * MIB, 4, id="tiny-with-large-bodies"),
        pytest.param(0.0001, 17 * MIB, 0, id="tiny-with-huge-bodies"),
    ],
)
def test_as_many_as_find_a_slot_in_a_moment_and_fit_into_memory(seconds: float, size: int, ahead: int) -> None:
    planned = Ahead(slots=10, fixed=None, worthwhile=True)
    assert planned.room(0.0, False) == 0  # of what nothing is known
    for _ in range(1_000):
        planned.ended(0.0, 30 * MIB)  # forgotten after a hundred others
    for _ in range(100):
        planned.ended(seconds, size)
    assert planned.room(0.1, True) == ahead


@pytest.mark.parametrize(("slots", "ahead"), [(10, 256), (300, 300)])
def test_where_no_round_trip_is_hidden_few_are_ahead(slots: int, ahead: int) -> None:
    planned = Ahead(slots=slots, fixed=None, worthwhile=False)
    planned.room(0.0, False)
    assert room_after(planned, 1_000, 0.1, waiting=True) == ahead


@pytest.mark.parametrize("worthwhile", [True, False])
def test_what_would_not_find_a_slot_soon_is_not_ahead(worthwhile: bool) -> None:
    planned = Ahead(slots=10, fixed=None, worthwhile=worthwhile)
    planned.room(0.0, False)
    room_after(planned, 1_000, 0.1, waiting=True)
    planned.ended(20.0, 100)
    assert planned.room(0.1, False) == 0


def test_where_slots_wait_for_a_slow_backend_the_pace_bounds_what_is_ahead() -> None:
    planned = Ahead(slots=10, fixed=None, worthwhile=True)
    assert room_after(planned, 0, 50.0, waiting=False) == 0  # nothing is known
    assert room_after(planned, 10, 50.1, waiting=True) == 84  # more than have ended
    assert room_after(planned, 30, 50.2, waiting=True) == 144
    assert room_after(planned, 60, 50.5, waiting=True) == 100  # a hundred in half a second
    assert room_after(planned, 70, 50.6, waiting=True) == 100  # too soon to say
    assert room_after(planned, 5, 51.0, waiting=True) == 75
    assert room_after(planned, 1, 3_600.0, waiting=False) == 75  # nobody had anything to do
    assert room_after(planned, 0, 3_601.0, waiting=False) == 75
    assert room_after(planned, 100, 3_601.5, waiting=False) == 125  # they might have done more
    assert room_after(planned, 0, 3_602.0, waiting=True) == 125  # nothing has ended, which says nothing


def test_what_was_done_when_there_was_little_is_forgotten_and_what_was_done_at_full_pace_is_not() -> None:
    planned = Ahead(slots=10, fixed=None, worthwhile=True)
    planned.room(0.0, False)
    assert room_after(planned, 20, 60.0, waiting=False) == 0
    planned.had_nothing(60.0)
    assert room_after(planned, 0, 60.0, waiting=False) == FIRST
    assert room_after(planned, 20, 60.1, waiting=True) == FIRST + 40
    planned.had_nothing(80.0)
    planned.room(80.0, False)
    assert room_after(planned, 100, 80.5, waiting=False) == 125
    planned.room(80.5, True)
    assert room_after(planned, 70, 81.0, waiting=True) == 70
    assert room_after(planned, 100, 82.0, waiting=False) == 70
    planned.had_nothing(90.0)
    assert room_after(planned, 0, 90.0, waiting=False) == 70


class Line:
    """Ten slots and a backend that answers a claim after `trip` seconds and takes `pace` outcomes in a second."""

    def __init__(self, trip: float, pace: float) -> None:
        self.trip, self.pace = trip, pace
        self.done = self.parked = self.running = 0
        self.planned = Ahead(10, None, worthwhile=True)
        self.waiting: deque[float] = deque()
        self.lasted = False

    def run(self, seconds: float, step: float = 0.002) -> None:
        """Work off tiny tasks without end; what has not begun within a second is parked, as by a worker."""
        taken, claim = 0.0, (math.inf, 0)
        for now in (step * number for number in range(int(seconds / step))):
            taken = min(taken + self.pace * step, self.running)
            self.end(int(taken))
            taken %= 1
            if now >= claim[0]:
                self.waiting.extend([claim[0] - self.trip] * claim[1])
                claim = (math.inf, 0)
            self.begin()
            self.park(now - 1.0)
            if not claim[1] and (room := self.room(now)):
                claim = (now + self.trip, room)

    def end(self, tasks: int) -> None:
        for _ in range(tasks):
            self.planned.ended(0.0001, 100)
        self.running -= tasks
        self.done += tasks

    def begin(self) -> None:
        while self.waiting and self.running < 10:
            self.waiting.popleft()
            self.running += 1
        self.lasted = self.lasted and bool(self.waiting)

    def park(self, claimed_by: float) -> None:
        while self.waiting and self.waiting[0] < claimed_by:
            self.waiting.popleft()
            self.parked += 1

    def room(self, now: float) -> int:
        ahead = self.planned.room(now, self.lasted)
        self.lasted = bool(self.waiting)
        room = 10 + ahead - self.running - len(self.waiting)
        return room if room >= self.planned.least(ahead) else 0


@pytest.mark.parametrize("trip", [0.002, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("pace", [20, 50, 100, 200, 500, 2_000])
def test_neither_a_slow_backend_nor_a_long_way_to_it_makes_a_worker_park_or_starve(trip: float, pace: float) -> None:
    line = Line(trip, pace)
    line.run(20.0)
    assert line.parked <= FIRST  # of what was claimed before anything was known
    assert line.done > 0.6 * 20.0 * pace


def test_after_more_tasks_with_one_attempt_than_slots_nothing_is_claimed_ahead_while_more_come() -> None:
    planned = Ahead(slots=10, fixed=None, worthwhile=True)
    planned.hold_back(50.0, surplus=False)
    planned.room(50.0, False)
    assert room_after(planned, 2_000, 50.5, waiting=True) == 1_024
    planned.hold_back(51.0, surplus=True)
    assert planned.room(110.0, False) == 0
    planned.hold_back(110.0, surplus=False)
    assert planned.room(169.9, False) == 0
    assert planned.room(170.1, False) == 1_024


def test_what_the_operator_says_counts() -> None:
    planned = Ahead(slots=10, fixed=7, worthwhile=False)
    planned.ended(60.0, 30 * MIB)
    planned.hold_back(0.0, surplus=True)
    assert planned.room(1.0, False) == 7

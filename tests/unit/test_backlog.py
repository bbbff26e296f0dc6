from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncdq.worker.backlog import Backlog
from asyncdq.worker.run import Run


class Waiting(Run):
    """A run of which the backlog sees nothing but its place."""

    def __init__(self) -> None:
        self.position, self.claimed_at = 0, 0.0


def popped(backlog: Backlog, run: Run) -> None:
    backlog.pop()


def taken(backlog: Backlog, run: Run) -> None:
    backlog.take()


def discarded(backlog: Backlog, run: Run) -> None:
    backlog.discard(run)


@pytest.mark.parametrize("emptied", [popped, taken, discarded])
def test_a_backlog_that_was_empty_in_between_has_not_lasted(emptied: Callable[[Backlog, Run], None]) -> None:
    backlog, run = Backlog(1), Waiting()
    backlog.add(run)
    assert not backlog.has_lasted()
    assert backlog.has_lasted()
    emptied(backlog, run)
    backlog.add(Waiting())
    assert not backlog.has_lasted()
    assert backlog.has_lasted()

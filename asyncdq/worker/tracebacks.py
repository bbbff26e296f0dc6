"""Which failed attempts are told with their traceback.

To write one down takes several times as long as a short task. So it is asked for before it is made, where the task has
run, and in the journal again: what many processes have made may be too much together.
"""

from __future__ import annotations

import math

from ..message import Again, Dead, Outcome
from ..retry import describe, is_of_the_task

MOST = 20  # a second: nobody reads more


class Tracebacks:
    """Grants a traceback to the first `MOST` failures of a second. Times are those of any one clock, in seconds."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._asked = 0

    def of(self, error: BaseException, outcome: Outcome, now: float) -> str:
        """As text, if this error has led to this outcome; empty if it tells nothing of the task's code, or is too many.

        A burial has made it already, for the dead letter.
        """
        if not isinstance(outcome, (Again, Dead)) or not is_of_the_task(error) or not self.grants(now):
            return ""
        return outcome.detail if isinstance(outcome, Dead) else describe(error)

    def grants(self, now: float) -> bool:
        """Whether this one may be told."""
        if now - self._since >= 1.0:
            self._since, self._asked = now, 0
        self._asked += 1
        return self._asked <= MOST

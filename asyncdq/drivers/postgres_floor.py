"""Where a claim begins to look, so that it does not walk over what was claimed before.

Until the next vacuum the index keeps an entry for every message that has gone, and all of them lie to the left
of those that are ready. (Claims of 10 from 20,000 messages: 9,000 tasks a second become 4,000 within minutes.)
So while claims are filled to their limit, the next one begins at the oldest message of the last one, or a second
ago if that is earlier.

That may pass by what comes to an older place later: a message that another worker gives back unstarted, one that
somebody had locked, one whose commit took more than half a second; all others keep their order. Therefore

    a claim looks at everything   if the last such claim is FULL_LOOK seconds old, or the last claim was not filled
    nothing is not an answer      of a claim that began further right: it is asked again, for everything
    the driver's own giving back  makes the claims after it look at everything
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

FULL_LOOK = 0.5
"""Seconds for which claims may pass by a message that has come to an older place. With the second in
postgres_claim.sql: what is committed within half a second of its time is seen by the last full look, or not below."""


class Floor:
    """The oldest message of the last claim, by queue; empty when the next claim has to look at everything."""

    def __init__(self) -> None:
        self._oldest: Mapping[str, datetime] = {}
        self._looked_at = 0.0

    def at(self, now: float) -> Mapping[str, datetime]:
        """By queue, the time below which a claim need not look; none for those that are missing."""
        if now - self._looked_at >= FULL_LOOK:
            self.forget()
        return self._oldest

    def learn(self, floor: Mapping[str, datetime], asked_at: float, oldest: Mapping[str, datetime]) -> None:
        """The claim sent at `asked_at`, beginning at `floor`, was filled; the times of the oldest that it brought."""
        if floor is not self._oldest:
            return  # while it was under way something was given back, or another claim has told more
        if not floor:
            self._looked_at = asked_at
        self._oldest = {**floor, **oldest}

    def forget(self) -> None:
        """Let the next claim look at everything."""
        self._oldest = {}

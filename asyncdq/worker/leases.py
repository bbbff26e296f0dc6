"""The leases that a worker holds, renewed in batches every third of their length."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..batcher import Batcher
from ..drivers.base import BaseDriver
from ..errors import Blocked
from ..message import Delivery
from ..soon import start_soon
from .log import log
from .outage import Outage
from .run import Run, Stop


class Leases:
    """Every run between its claim and its written outcome.

    Runs are grouped by the length of their lease; each group has one task that extends all of it at
    every third of that length. So a lease is renewed at the latest a third after the claim, and
    short-lived runs cost nothing.
    """

    def __init__(self, driver: BaseDriver, outage: Outage) -> None:
        self.on_lost: Callable[[Run], None] = lambda run: run.interrupt(Stop.LOST)
        self.on_lease: Callable[[float], None] = lambda lease: None  # hears of each length, seconds
        self._driver = driver
        self._outage = outage
        self._groups: dict[float, dict[Delivery, Run]] = {}
        self._renewals: dict[float, asyncio.Task[None]] = {}
        self._adoptions: Batcher[Run, bool] = Batcher(self._adopt, driver.limits.batch)
        self._extending = asyncio.Lock()  # two extensions of one lease under way: the shorter might come last

    def add(self, run: Run) -> None:
        """Renew the lease of this run from now on."""
        group = self._groups.get(run.lease)
        if group is None:
            self.on_lease(run.lease)
            group = self._groups[run.lease] = {}
            self._renewals[run.lease] = start_soon(self._renew(run.lease))
        group[run.delivery] = run

    def drop(self, run: Run) -> None:
        """Renew it no more."""
        self._groups.get(run.lease, {}).pop(run.delivery, None)

    def holds(self, run: Run) -> bool:
        """Whether the run is between its claim and its written outcome."""
        return run.delivery in self._groups.get(run.lease, ())

    async def adopt(self, run: Run) -> bool:
        """Give the run the lease that its plan asks for, before it starts. False: it is no longer ours."""
        return await self._adoptions.call(run)

    async def close(self) -> None:
        """Stop renewing."""
        for task in self._renewals.values():
            task.cancel()
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    async def _renew(self, lease: float) -> None:
        group, loop, pause = self._groups[lease], asyncio.get_running_loop(), lease / 3
        while group:
            await asyncio.sleep(pause)
            began, runs = loop.time(), list(group.values())
            for start in range(0, len(runs), self._driver.limits.batch):
                async with self._extending:
                    part = [run for run in runs[start : start + self._driver.limits.batch] if run.lease == lease]
                    await self._extend(part, lease)
            # From here on a full third would be too late for what was claimed while the backend gave no answer.
            pause = max(0.0, began + lease / 3 - loop.time())
        del self._groups[lease], self._renewals[lease]

    async def _extend(self, runs: Sequence[Run], lease: float) -> dict[Delivery, bool]:
        """Whether each delivery has that lease now: False if it was no longer ours.

        Those are left out that could not be extended for another reason: the next third is another chance.
        """
        asked_at = 0.0

        async def extend() -> list[Delivery]:
            nonlocal asked_at
            asked_at = asyncio.get_running_loop().time()
            return await self._driver.extend([run.delivery for run in runs if self.holds(run)], lease)

        held: set[Delivery] = set()
        try:
            lost = set((await self._outage.persist(extend))[0])
        except Blocked as error:
            lost = set(error.lost)
            held = set(error.held or [run.delivery for run in runs]) - lost  # without `held` it says nothing of any
            self._warn_of(runs, held, error)
        except Exception as error:  # whatever it is
            log.error("%d leases could not be renewed", len(runs), exc_info=error)
            return {}
        answer = {run.delivery: run.delivery not in lost for run in runs if run.delivery not in held}
        for run in runs:
            extended = answer.get(run.delivery)
            if extended:
                run.deadline = asked_at + lease
            elif extended is False and self.holds(run):  # else its outcome was written in the meantime
                self.on_lost(run)
        return answer

    def _warn_of(self, runs: Sequence[Run], held: set[Delivery], error: Blocked) -> None:
        """Unless it was for a moment: a row is locked while its own outcome is written, too."""
        now = asyncio.get_running_loop().time()
        late = [run for run in runs if run.delivery in held and run.deadline < now + run.lease / 2 and self.holds(run)]
        if late:
            text = "%d leases could not be renewed: %s; that is tried again"
            log.warning(text, len(late), error, extra={"event": "call_stuck"})

    async def _adopt(self, runs: list[Run]) -> Sequence[bool | BaseException]:
        by_lease: dict[float, list[Run]] = {}
        for run in runs:
            by_lease.setdefault(run.plan.lease, []).append(run)
        answer: dict[Delivery, bool] = {}
        async with self._extending:
            for lease, group in by_lease.items():
                answer |= await self._extend(group, lease)
                for run in filter(self.holds, group):  # else it was given back meanwhile
                    if answer.get(run.delivery):
                        self.drop(run)
                        run.lease = lease
                        self.add(run)
        return [answer.get(run.delivery, True) for run in runs]

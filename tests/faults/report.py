"""What a scenario yields: the account, the bounds it is held against, and how long the recovery took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .account import Account


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be. None: not judged.

    duplicates  executions of an attempt beyond its first
    twice       executions to the end beyond a task's first
    recovery    seconds
    late        seconds between due and started, of 99 in 100
    """

    duplicates: int | None = 0
    twice: int | None = None
    recovery: float | None = None
    late: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One scenario on one driver. `also` are sentences about what the ledger cannot see, and should not be.

    `crowd` is the load per core: where others want the cores too, seconds may be so many times as many.
    """

    account: Account
    bounds: Bounds
    recovery: float | None = None
    also: tuple[str, ...] = ()
    crowd: float = 1.0

    @property
    def violations(self) -> list[str]:
        """What is wrong, in sentences; empty if nothing is."""
        return [*self._of_the_ledger(), *self._of_time(self.crowd), *self.also]

    def _of_the_ledger(self) -> Iterator[str]:
        account, bounds = self.account, self.bounds
        if account.lost:
            yield f"lost: {len(account.lost)} of {account.tasks}, such as {min(account.lost)}"
        if bounds.duplicates is not None and account.duplicates > bounds.duplicates:
            yield f"duplicates: {account.duplicates}, the bound is {bounds.duplicates}"
        if bounds.twice is not None and account.twice > bounds.twice:
            yield f"done twice: {account.twice}, the bound is {bounds.twice}"
        if account.early:
            yield f"early: {account.early}, the earliest by {-min(account.lateness):.3f} s"
        if account.out_of_order:
            yield f"out of order: {account.out_of_order}"
        if account.over_attempts:
            yield f"over max_attempts: {account.over_attempts}"
        if account.buried:
            yield f"buried innocents: {len(account.buried)}, such as {min(account.buried)}"

    @property
    def slow(self) -> bool:
        """Whether it took longer than it may where nobody else wants the cores."""
        return bool(self._of_time(1.0))

    def _of_time(self, factor: float) -> list[str]:
        judged = {
            "late": (self.account.latest, self.bounds.late),
            "recovery": (self.recovery, self.bounds.recovery),
        }
        return [
            f"{what}: {seconds:.2f} s, the bound is {most:g} s, and the load {factor:.1f}"
            for what, (seconds, most) in judged.items()
            if seconds is not None and most is not None and seconds > most * factor
        ]

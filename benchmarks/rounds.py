"""Measuring all contenders on one driver, in rounds: A B C, A B C, so that a noisy minute hurts all alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .bench import Bench, Numbers, Speeds
from .contender import OURS, Contender, Uninstallable, contenders
from .results import Results
from .store import Store
from .trial import Failed
from .workloads import WORKLOADS, Workload

ROUNDS = 3
"""How often each contender is measured, at most: workloads that take long say less."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for; empty `workloads` or `contenders` mean all. `seconds` is what a run of tasks takes, about."""

    workloads: Sequence[str] = ()
    contenders: Sequence[str] = ()
    rounds: int = ROUNDS
    seconds: float = 2.0

    @property
    def whole(self) -> bool:
        """Whether it is all that there is, as often as it is by default."""
        return not self.workloads and not self.contenders and self.rounds >= ROUNDS

    def wants(self, workload: Workload, driver: str) -> bool:
        """`W2` is both of its concurrencies."""
        named = not self.workloads or {workload.key, workload.key.split()[0]} & set(self.workloads)
        return bool(named) and driver not in workload.without


def measured(store: Store, plan: Plan, keep: Callable[[Results], object] = lambda _: None) -> Results:
    """The whole of it on one driver; what there is after each workload is given to `keep`."""
    began = time.monotonic()
    results = Results(store.driver, store.version(), store.durability)
    those = [one for one in contenders(store.driver) if not plan.contenders or one.name in plan.contenders]
    able = [contender for contender in those if introduced(results, contender)]
    bench = Bench(store, Speeds(plan.seconds))
    for number in range(plan.rounds):
        for workload in WORKLOADS:
            if plan.wants(workload, store.driver) and number < workload.rounds:
                for contender in chosen(results, workload, able):
                    one(results, bench, workload, contender)
                keep(results)
    if plan.whole:
        results.seconds = round(time.monotonic() - began)
        keep(results)
    return results


def introduced(results: Results, contender: Contender) -> bool:
    """Whether its environment could be made."""
    about = {fact.lower(): contender.said(fact, results.driver) for fact in ("SETTINGS", "CRASH")}
    results.about[contender.name] = dict(about)
    try:
        results.about[contender.name]["versions"] = contender.versions(results.driver)
    except Uninstallable as error:
        results.about[contender.name]["error"] = str(error)
        return False
    return True


def chosen(results: Results, workload: Workload, able: Sequence[Contender]) -> list[Contender]:
    """Who is measured by this workload."""
    fit = [one for one in able if workload.fits(one, results.driver)]
    if not workload.alone:
        return fit
    best = results.rivals("W2 c10", "rate", more=True)[:1] if workload.beside_best else []
    return [one for one in fit if one.name in (OURS, *best)]


def one(results: Results, bench: Bench, workload: Workload, contender: Contender) -> None:
    """Measure it and say so. What a contender cannot do is noted, and does not stop the others."""
    try:
        numbers = workload.measure(bench, contender)
    except (Failed, OSError) as error:  # the second: a command that cannot be started
        results.about[contender.name].setdefault("errors", {})[workload.key] = str(error)[-300:]
        print(f"{workload.key:9} {contender.name:13} failed: {error}", flush=True)
        return
    results.load = [round(load, 1) for load in os.getloadavg()]
    if numbers is None:
        return
    results.add(workload.key, contender.name, numbers)
    print(f"{workload.key:9} {contender.name:13} {line(numbers)}", flush=True)


def line(numbers: Numbers) -> str:
    """Of one measurement."""
    return "  ".join(f"{name} {number:,.{digits(number)}f}" for name, number in numbers.items())


def digits(number: float) -> int:
    """Behind the point: three figures in all."""
    return 0 if abs(number) >= 100 or number == int(number) else 1 if abs(number) >= 10 else 2

"""From the enqueue to the start, and what a worker costs that waits for one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from .bench import Bench, Measure, Numbers
from .contender import ROOT, Contender
from .tally import Executions
from .throughput import drain
from .trial import Trial, Workers, trial_of

IDLE_RATE = 80.0
"""Tasks per second that an idle worker is sent: each finds it waiting."""


def latency(half: bool) -> Measure:
    """Milliseconds from before the enqueue to the start: of an idle worker, or of one at half its rate of W2 c10."""

    def measure(bench: Bench, contender: Contender) -> Numbers | None:
        if (contender.name, "W2 c10") not in bench.speeds.known:
            drain(10, "W2 c10")(bench, contender)
        able = bench.speeds.known[contender.name, "W2 c10"]
        rate = able / 2 if half else min(IDLE_RATE, able / 5)
        count = max(50, round(rate * (1.5 if half else 2.5)))
        with ready(bench, contender) as (trial, workers):
            time.sleep(0.5)  # its start is over: what it does at first is not idle
            told = trial.produce("paced", count, "stamp", rate)
            complete = workers.until(lambda: len(workers.executions.latencies) >= count)
        return percentiles(workers.executions) | {
            "sent_rate": told["count"] / told["seconds"],
            "lost": 0 if complete else count - len(workers.executions.latencies),
        }

    return measure


def inside(bench: Bench, contender: Contender) -> Numbers | None:
    """Milliseconds from before the enqueue to the start, where one process does both."""
    count = round(IDLE_RATE * 2.5)
    with trial_of(replace(contender, module="benchmarks.inside"), bench.store) as trial:
        told = trial.produce("paced", count, "stamp", IDLE_RATE)
        executions = Executions(trial.folder)
        done = executions.refresh()
    return percentiles(executions) | {"sent_rate": told["count"] / told["seconds"], "lost": count - done}


@contextmanager
def ready(bench: Bench, contender: Contender) -> Generator[tuple[Trial, Workers]]:
    """A worker of concurrency 10 that has executed a task, and has nothing left to do."""
    with trial_of(contender, bench.store) as trial:
        trial.produce("single", 1)  # first: some producers create what their workers need
        with trial.working(10) as workers:
            workers.until_first()
            yield trial, workers


def percentiles(executions: Executions) -> Numbers:
    """Of the latencies, in milliseconds."""
    found = sorted(executions.latencies)
    at = {name: found[min(len(found) - 1, int(len(found) * share))] for name, share in PERCENTILES.items()}
    return {name: seconds * 1000 for name, seconds in at.items()}


PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


IDLE = 8.0
"""Seconds for which an idle worker is watched."""


def idle(bench: Bench, contender: Contender) -> Numbers | None:
    """What a worker costs that has nothing to do."""
    with ready(bench, contender) as (_, workers):
        time.sleep(2.0)  # until what it does at first is over
        before, server, began = workers.usage.cpu(), workers.server.cpu(), time.monotonic()
        commands = bench.store.commands(IDLE)
        seconds = time.monotonic() - began
        used, served = workers.usage.cpu() - before, workers.server.cpu() - server
    numbers = {"cpu_percent": used / seconds * 100, "server_percent": served / seconds * 100}
    return numbers if commands is None else {**numbers, "commands": commands}


def cold(bench: Bench, contender: Contender) -> Numbers | None:
    """Seconds until `python -m asyncdq --help` has ended, at best of five."""
    seconds: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([contender.python, "-m", "asyncdq", "--help"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - began)
    return {"help_s": min(seconds)}

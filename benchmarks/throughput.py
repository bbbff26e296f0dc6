"""Tasks per second: enqueueing them, draining them, before a large backlog, and over a slow network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from .bench import FILLING, Bench, Measure, Numbers, filled, long_enough
from .contender import ROOT, Contender
from .store import through
from .trial import Trial, trial_of
from .usage import Usage


def enqueue(mode: str, key: str) -> Measure:
    """Calls per second of one producer process; nobody works meanwhile."""

    def once(bench: Bench, contender: Contender) -> tuple[Numbers, int]:
        with trial_of(contender, bench.store) as trial:
            before = served(trial)
            told = trial.produce(mode, bench.speeds.count(contender, key))
            server, count = served(trial) - before, int(told["count"])
        if not count:
            return {}, 0
        return {
            "rate": count / told["seconds"],
            "cpu_us": told["cpu"] / count * 1e6,
            "server_us": server / count * 1e6,
        }, count

    return long_enough(key, once)


def served(trial: Trial) -> float:
    """CPU seconds of the server until now."""
    return Usage(trial.store.processes).cpu()


def drain(concurrency: int, key: str) -> Measure:
    """A backlog of no-ops, from the first start to the last."""

    def once(bench: Bench, contender: Contender) -> tuple[Numbers, int]:
        most = bench.speeds.known.get((contender.name, "fill"), 10**6) * FILLING
        with trial_of(contender, bench.store) as trial:
            count = bench.speeds.count(contender, key, most)
            filled(bench, trial, count)
            return drained(trial, count, concurrency), count

    return long_enough(key, once)


def drained(trial: Trial, count: int, concurrency: int, url: str = "") -> Numbers:
    """What a worker does with `count` no-ops that wait for it."""
    with trial.working(concurrency, url) as workers:
        start = workers.until_first()
        before, server, seen = workers.usage.cpu(), workers.server.cpu(), len(workers.executions.ids)
        complete = workers.until_executed(count)
        done = max(1, len(workers.executions.ids) - seen)
        cpu, server = workers.usage.cpu() - before, workers.server.cpu() - server
        memory = workers.usage.peak()
    executed = workers.executions
    executed_ids = len(executed.ids)
    rate = (executed_ids - 1) / executed.span if executed.span else 0.0
    return {
        "rate": rate,
        "cpu_us": cpu / done * 1e6,
        "server_us": server / done * 1e6,
        "memory_mb": memory,
        "start_s": start,
        "lost": 0 if complete else count - executed_ids,
        "doubled": executed.doubled,
    }


BACKLOG = {"rabbitmq": 200_000, "sqs": 20_000}
"""Where a million would take too long to enqueue."""


def backlog(bench: Bench, contender: Contender) -> Numbers | None:
    """The rate of claims in front of a million tasks, over that of W2 c10."""
    if (contender.name, "W2 c10") not in bench.speeds.known:
        drain(10, "W2 c10")(bench, contender)
    usual = bench.speeds.known[contender.name, "W2 c10"]
    size = BACKLOG.get(bench.store.driver, 1_000_000)
    with trial_of(contender, bench.store) as trial:
        filled(bench, trial, size)
        with trial.working(10) as workers:
            workers.until_first()
            workers.until_executed(min(size, round(usual * 3)))
    executed = workers.executions
    rate = (len(executed.ids) - 1) / executed.span
    return {"ratio": usual / rate, "rate": rate, "backlog": size, "doubled": executed.doubled}


@contextmanager
def proxied(url: str, delay: float) -> Generator[str]:
    """The URL of a proxy, in a process of its own, that passes everything on `delay` seconds late."""
    command = [sys.executable, "-m", "benchmarks.proxy", url, f"{delay}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield through(url, int(process.stdout.readline()))
        finally:
            process.terminate()


def delayed(concurrency: int) -> Measure:
    """The rate with a millisecond each way between worker and server, over that through the same proxy without."""

    def measure(bench: Bench, contender: Contender) -> Numbers | None:
        key = f"W2 c{concurrency}"
        if (contender.name, key) not in bench.speeds.known:
            drain(concurrency, key)(bench, contender)
        rates: list[float] = []
        for delay in (0.0, 0.001):
            with trial_of(contender, bench.store) as trial, proxied(trial.url, delay) as url:
                count = bench.speeds.count(contender, key)
                filled(bench, trial, count)
                rates.append(drained(trial, count, concurrency, url)["rate"])
        return {"ratio": rates[1] / rates[0], "rate": rates[1], "undelayed": rates[0]}

    return measure

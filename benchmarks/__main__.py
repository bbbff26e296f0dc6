"""The speed of asyncdq, its rivals and the floor, side by side.

    python -m benchmarks                                  every driver: 45 to 90 minutes
    python -m benchmarks --driver redis                   one
    python -m benchmarks --quick                          W2 and W3 on three drivers, no rivals: a minute or two

| file | what is in it |
|---|---|
| ours.py, events.py, watched.py, rivals/, floors/ | the contenders: how each enqueues, and how its worker is started |
| inside.py | asyncdq with its worker in the process that enqueues |
| bodies.py, tally.py, contend.py | what a contender's environment runs: tasks, how they count themselves, producers |
| contender.py, store.py, trial.py, usage.py, proxy.py | what the harness has: commands, servers, their costs |
| workloads.py, throughput.py, latency.py, occupancy.py, bench.py | what is measured, and how |
| rounds.py, results.py, flames.py | in which order, and what comes of it |
| targets.py, table.py, page.py, bars.py | what was to be reached; the terminal, docs/benchmarks.md and its pictures |
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

DRIVERS = ("sqlite", "redis", "postgres", "rabbitmq", "mysql", "sqs")
QUICK = ("sqlite", "redis", "postgres")


def main(arguments: Sequence[str]) -> int:
    """1 if asyncdq lost or doubled a task."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, side by side.")
    parser.add_argument("--driver", default="", help="one or more, with commas")
    parser.add_argument("--workloads", default="", help="W1,W2,...")
    parser.add_argument("--contenders", default="", help="asyncdq,floor,arq,...")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a run of tasks takes, about")
    parser.add_argument("--quick", action="store_true", help="asyncdq and the floor, W2 and W3, one round; no page")
    parser.add_argument("--flames", action="store_true", help="flame graphs of our worker, too")
    asked = parser.parse_args(arguments)
    # In a folder in memory, where the tests have their servers, a commit would wait for nothing.
    os.environ.setdefault("TMPDIR", "/var/tmp")
    from . import flames, page, table  # not before that is set
    from .results import Results
    from .rounds import Plan, measured
    from .store import opened

    quick = Plan(("W2", "W3"), ("asyncdq", "floor"), 1, 1.0)
    whole = Plan(listed(asked.workloads), listed(asked.contenders), asked.rounds, asked.seconds)
    fine = True
    for driver in listed(asked.driver) or (QUICK if asked.quick else DRIVERS):
        began = time.monotonic()
        with opened(driver) as store:
            print(f"{driver}: {store.version()}, {store.durability}", flush=True)
            results = measured(store, quick) if asked.quick else measured(store, whole, keep=Results.save)
            if asked.flames:
                flames.drawn(store, page.PICTURES / f"flame-{driver}.svg")
        print("", *table.text(results), "", f"{driver}: {time.monotonic() - began:.0f} s", "", sep="\n", flush=True)
        fine = fine and results.harmless("asyncdq")
        if not asked.quick:
            page.write()
    return int(not fine)


def listed(words: str) -> list[str]:
    """Separated by commas."""
    return words.split(",") if words else []


if __name__ == "__main__":
    from tests.servers.ending import told_to_end

    sys.exit(told_to_end(lambda: main(sys.argv[1:])))

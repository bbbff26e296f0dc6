"""Seeds by the million: python -m tests.simulation --seeds 1000000. One again, with its story: --seed 417."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence

from .batch import Result, attempt, prepare
from .simulate import simulate

CHUNK = 1_000  # seeds that a process takes at a time
PROGRESS = 60.0  # seconds between two lines
MOST_SHOWN = 20  # broken seeds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; 1 if a seed breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--seeds", type=int, default=100_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    told = parser.parse_args(arguments)
    return tell(told.seed) if told.seed is not None else try_all(told.first, told.seeds, told.jobs)


def tell(seed: int) -> int:
    """Print what happens in the world of this seed."""
    prepare()
    ledger = simulate(seed)
    print(*ledger.trace, sep="\n")
    print(*(f"BROKEN {rule}" for rule in ledger.violations), sep="\n")
    return 1 if ledger.violations else 0


def try_all(first: int, number: int, jobs: int) -> int:
    """Live through all of these worlds, and print the seeds of those in which something went wrong."""
    chunks = [range(start, min(start + CHUNK, first + number)) for start in range(first, first + number, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(jobs, prepare) as pool:
        done = _follow(pool.imap_unordered(attempt, chunks), number)
    pace = done.seeds / done.seconds if done.seconds else 0.0
    print(f"{done.seeds:,} seeds from {first:,}, {pace:,.0f} per CPU second: {len(done.broken)} broken")
    return 1 if done.broken else 0


def _follow(results: Iterable[Result], number: int) -> Result:
    done, said = Result(0, 0.0, []), time.monotonic()
    for result in results:
        for seed, rule in result.broken:
            if len(done.broken) < MOST_SHOWN:
                print(f"seed {seed}: {rule}\n  its story: make simulate SEED={seed}", flush=True)
        done = Result(done.seeds + result.seeds, done.seconds + result.seconds, [*done.broken, *result.broken])
        if time.monotonic() - said > PROGRESS:
            said = time.monotonic()
            print(f"{done.seeds:,} of {number:,} seeds, {len(done.broken)} broken", flush=True)
    return done


if __name__ == "__main__":
    sys.exit(main())

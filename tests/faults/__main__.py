"""Faults on purpose: real worker processes, real private servers, and a ledger that neither of them knows of.

    python -m tests.faults                          every scenario on every driver; writes docs/reliability.md
    python -m tests.faults --drivers redis --seed 7 --only kill
    make faults DRIVER=redis SEED=7 LONG=1

| file | what is in it |
|---|---|
| account.py | the checker: what was promised, what was executed, and what is wrong between the two |
| trial.py, letters.py | one scenario on one driver: its store, its server, its workers, its dice, its dead |
| scale.py | how much of everything |
| scenario.py, report.py, run.py | what a scenario is, what it yields, and how it is run |
| grounds.py | the drivers, and what each of them lacks, as data |
| deaths.py, outages.py, network.py, clocks.py, shutdown.py, order.py and so on | the scenarios, by family |
| hops.py | makes long delays of SQS take many short steps |
| planted.py, selfcheck.py | bugs, planted into workers: a run that does not find each of them fails |
| table.py, page.py | the table, and the page that it is written to |
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence

from tests.servers.ending import told_to_end

from . import page, table
from .grounds import GROUNDS
from .run import Row, attempt, lines_of
from .scale import LONG, SHORT, USUAL, Scale
from .scenarios import SCENARIOS
from .selfcheck import CHECKS, Finding, find

SCALES = {"short": SHORT, "usual": USUAL, "long": LONG}


def main(arguments: Sequence[str]) -> int:
    """1 if a scenario found something, or a planted bug was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break everything, and count.")
    parser.add_argument("--drivers", default=",".join(GROUNDS))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--scale", choices=SCALES, default="usual")
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    print(f"seed {asked.seed}", flush=True)
    rows: list[Row] = []
    findings: list[Finding] = []
    for driver in asked.drivers.split(","):
        own = on_driver(driver, asked.seed, SCALES[asked.scale], asked.only)
        rows += own[0]
        findings += own[1]
    print("", *table.text(rows), "", *findings, sep="\n")
    print(f"seed {asked.seed}, {time.monotonic() - began:.0f} s")
    if not asked.only and asked.scale != "short":
        drivers = "" if asked.drivers == parser.get_default("drivers") else f" DRIVER={asked.drivers}"
        long = " LONG=1" if asked.scale == "long" else ""
        page.write(rows, findings, f"make faults{drivers}{long} SEED={asked.seed}", asked.seed)
        print(f"written to {page.PAGE}")
    return int(any(row.failed for row in rows) or any(finding.missed for finding in findings))


def on_driver(driver: str, seed: int, scale: Scale, only: str) -> tuple[list[Row], list[Finding]]:
    """What its scenarios and planted bugs came to; each is printed when it is there."""
    ground = GROUNDS[driver]
    rows: list[Row] = []
    findings: list[Finding] = []
    with ground.server() as server:
        for check in CHECKS:
            if only in f"planted {check.bug}":
                findings.append(asyncio.run(find(ground, server, check, seed)))
                print(findings[-1], flush=True)
        for scenario in SCENARIOS:
            if only in scenario.name:
                rows.append(asyncio.run(attempt(ground, server, scenario, seed, scale)))
                print("\n".join(lines_of(rows[-1])), flush=True)
    return rows, findings


if __name__ == "__main__":
    sys.exit(told_to_end(lambda: main(sys.argv[1:])))

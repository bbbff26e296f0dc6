"""Flame graphs of our worker: where its time goes at concurrency 100."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from .contender import OURS, contenders, environment
from .store import Store
from .trial import trial_of

PY_SPY = "py-spy>=0.4"

SECONDS = 4
"""That the worker is watched for, at 200 looks a second."""

TASKS = {"redis": 200_000, "postgres": 150_000, "sqlite": 150_000, "rabbitmq": 40_000, "mysql": 40_000, "sqs": 8_000}
"""Enough to be busy for that long."""


def drawn(store: Store, picture: Path) -> None:
    """Written to `picture`. Raises Uninstallable, Failed."""
    (contender,) = (one for one in contenders(store.driver) if one.name == OURS)
    py_spy = environment("py-spy", [PY_SPY]).with_name("py-spy")
    picture.parent.mkdir(parents=True, exist_ok=True)
    with trial_of(contender, store) as trial:
        trial.produce("fill", TASKS[store.driver])
        with trial.working(100) as workers:
            workers.until_first()
            recorded = [
                str(py_spy),
                "record",
                "--format=flamegraph",
                "--rate=200",
                "--threads",
                f"--duration={SECONDS}",
            ]
            command = [*recorded, f"--output={picture}", f"--pid={workers.processes[0].pid}"]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if picture.exists():
        picture.write_text(titled(picture.read_text(), f"asyncdq on {store.driver}, concurrency 100"))


def titled(graph: str, title: str) -> str:
    """With this title: py-spy's is its command line, with the paths of the machine."""
    return re.sub(r'(<text id="title"[^>]*>)[^<]*', lambda found: found[1] + title, graph)

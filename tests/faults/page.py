"""docs/reliability.md: a section for each driver, written by the run itself."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.servers import KINDS

from . import table
from .grounds import GROUNDS
from .run import Row
from .selfcheck import Finding

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"

HEAD = """\
# Reliability

What was broken on purpose, and what came of it. This page is written by `make faults`: real worker processes, real
private servers, and a ledger outside of both that notes every enqueue that returned and every execution. Run it
yourself; `make faults DRIVER=redis SEED=7` does one driver, with the choices of that seed.

{legend}

With `LONG=1` there is more of everything, and sixty workers are killed. There a task may be lost six times, not three,
before it is buried, since of so many deaths chance gives some task three.

Before its scenarios, each driver has to pass the self-check: bugs are planted into the workers, and the run fails if
the ledger does not show each of them.
"""


def write(rows: Sequence[Row], findings: Sequence[Finding], command: str, seed: int, page: Path = PAGE) -> None:
    """The sections of these drivers are new; those of other drivers stay as they are."""
    all_of_them = sections(page.read_text("utf-8")) if page.exists() else {}
    for driver in dict.fromkeys(row.driver for row in rows):
        own = [row for row in rows if row.driver == driver]
        found = [finding for finding in findings if finding.driver == driver]
        all_of_them[driver] = section(driver, own, found, command, seed)
    kept = [all_of_them[driver] for driver in GROUNDS if driver in all_of_them]
    page.write_text("\n".join([HEAD.format(legend=table.LEGEND), *kept]), "utf-8")


def sections(text: str) -> dict[str, str]:
    """The text of each driver's section, its heading included."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].removeprefix("## ").strip(): f"{part.rstrip()}\n" for part in parts}


def section(driver: str, rows: Sequence[Row], findings: Sequence[Finding], command: str, seed: int) -> str:
    """What a run found on one driver."""
    checked = [finding for finding in findings if not finding.why]
    caught = sum(not finding.missed for finding in checked)
    bugs = ", ".join(finding.check.bug for finding in checked)
    how = (
        f"{datetime.now(UTC):%d %B %Y}, {version(driver)}, Python {platform.python_version()}, {os.cpu_count()} cores,"
        f" seed {seed}: `{command}`. Planted bugs found: {caught} of {len(checked)} ({bugs})."
    )
    return "\n".join([f"## {driver}", "", how, "", *table.markdown(rows), ""])


def version(driver: str) -> str:
    """What was tested, as its program calls itself."""
    if driver == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    program = KINDS[driver].program()
    if program is None:
        return f"`{KINDS[driver].image}`"
    told = str(program)  # RabbitMQ's does not say it, and is in a folder that does
    if driver != "rabbitmq":
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30).stdout
    number = re.search(r"\d+(\.\d+)+", told)
    return f"{program.name} {number[0] if number else '(version unknown)'}"

"""`asyncdq queues` and `asyncdq purge`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from ..drivers.base import BaseDriver
from ..message import QueueStats
from ..names import check_queue
from ..settings import Settings
from .driver import ask, confirm
from .table import print_table

STATES = ("ready", "delayed", "leased", "dead")


def queues(
    settings: Settings,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUEUES", help="Only these. Unset: all; on RabbitMQ those of the settings."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show how many tasks each queue holds: ready, delayed, leased (running) and dead."""
    for name in names or ():
        check_queue(name)
    stats = ask(settings, lambda driver: _stats(driver, names or (), settings.queues))
    if as_json:
        print(json.dumps({queue: asdict(counts) for queue, counts in stats.items()}))
    elif not stats:
        print(f"no queue holds anything in {settings.place}")
    else:
        print_table(["queue", *STATES], [_row(queue, counts) for queue, counts in stats.items()])


def purge(
    settings: Settings,
    queue: Annotated[str, typer.Argument(help="The queue to empty.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete what waits in a queue, ready or delayed; never what runs, nor its dead letters."""
    check_queue(queue)
    confirm(f"Delete all tasks that wait in {queue!r}?", yes)
    deleted = ask(settings, lambda driver: driver.purge(queue))
    print(f"deleted {'all' if deleted is None else deleted} from {queue}")


async def _stats(driver: BaseDriver, named: Sequence[str], known: Sequence[str]) -> dict[str, QueueStats]:
    """The counts of the queues named, else of all; of those in the settings where the broker cannot list."""
    if not named:
        found = await driver.queues()
        named = known if found is None else sorted(found)
    return {queue: await driver.stats(queue) for queue in named}


def _row(queue: str, counts: QueueStats) -> list[str]:
    numbers = (counts.ready, counts.delayed, counts.leased, counts.dead)
    return [queue, *("?" if number is None else str(number) for number in numbers)]

"""docs/benchmarks.md and its pictures, from the results that are kept: python -m benchmarks.page."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import table
from .bars import Bar, Group, chart
from .contender import EVENTS, FLOOR, OURS, ROOT, WATCHED
from .results import FOLDER, Results
from .targets import judged
from .workloads import WORKLOADS, Workload

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "benchmarks"

ORDER = ("redis", "postgres", "sqlite", "rabbitmq", "mysql", "sqs")

HEAD = """\
# Benchmarks

How fast asyncdq is, beside its rivals and beside the **floor**: a bare loop of the same client library that does the
least work with the same guarantees. This page and its pictures are written by the run itself, from the numbers in
[benchmarks/results](../benchmarks/results). Run it yourself: `make bench DRIVER=redis`, `make bench`,
`make bench-quick`.

Rivals come from PyPI, each in an environment of its own, with the fast settings of its documentation. All have the same
server and run the same tasks. What is enqueued is as durable for all, as the head of each driver says. On PostgreSQL
asyncdq's enqueues, retries and burials wait for the disk as the server says; its claims, renewals and completions do
not, because losing one repeats a task and loses none. The floor does the same. The rivals wait for each.

They are measured in rounds, A B C A B C; a number is the median of its rounds, with the lowest and the highest beside
it. W1 and W2 have three rounds, W3 and `W3 inside` two, and the others one: where a number was measured once, there is
no spread. Tasks count themselves, by id: `lost` were enqueued and never executed, `doubled` are executions beyond a
task's first. `cpu us` is the CPU per task of the worker with its children, of W1 that of the producer; `server us` is
that of the server. `memory mb` is the peak of resident memory, added up over the processes of the worker (W6);
`start s` is from the start of the process to its first task (W9). Enough is enqueued for about a second of W1 and W2;
the rate of W2 is that of the starts, from the first to the last.

`asyncdq` has default settings, and so writes a log line per task, up to a thousand a second, and runs on asyncio's own
event loop; most rivals are run with a log level of warning, and those that have a setting for it on uvloop. Events are
off; `asyncdq-events` is the same with events on the Redis that it works from, and nobody who listens; `asyncdq-watched`
with somebody who does, on the same two cores.

The floor takes as many tasks at a time as its concurrency, and the next when these are done: it neither claims ahead
nor overlaps its trips to the server. asyncdq claims up to 1,024 tasks ahead, on SQLite and RabbitMQ 256, and so can be
faster than its floor. Of the rivals those that have a setting for it take about as many ahead. In W1c asyncdq merges
the calls that wait at the same time into one trip to the server; the floor and the rivals make one for each.

W3 has the producer in one process and the worker in another, as its rivals have. In `W3 inside` one process, and one
event loop, does both, as an application on SQLite may do: asyncdq alone, and without log lines. What is wanted of
SQLite is wanted "in process"; it is held against both. `W3 half` sends each contender half of what it ran at
concurrency 10, so the fast ones get more: `sent rate` is how many tasks a second. Producer, server and worker share two
cores, and a worker that takes tasks one by one as they come needs more of them per task than one that drains a backlog.
So where the sent rate is less than half of W2 c10, all of the machine was busy; and a producer on an event loop, whose
calls are under way side by side, counts the time that they wait for each other, where one without waits before it.

W4 is the rate while the slots are full: of thirty tasks for each slot the first ten do not count, in which all slots
become free at the same moment after the start, and the last one does not either; `over` is by how many more tasks than
slots ran at once, and who has any is not counted among the rivals. After a minute a contender is measured by what it
has done. W5 is counted likewise, from the twentieth task to the last but one: who starts a process when it is needed
has one at first. In it asyncdq has its default slots, ten, and a pool of two processes. Of the rivals Celery, dramatiq,
huey and repid are run as one worker with two processes, repid's with ten tasks at a time; of all others two workers
run, where they have slots, with ten each. The `commands` of W8 are a minute's: what Redis was sent, the transactions of
PostgreSQL, the statements of MariaDB, and the packets that RabbitMQ received; its CPU is known to 0.13 %. asyncdq alone
is measured by W7, whose ratio is the rate of W2 c10 over that before a backlog; by W9, of which `--help` is the best of
five; and, but for the best rival, by W10, with a millisecond on the way to the server, and another on the way back: its
ratio is the rate over that without them.

Left out: AsyncTasQ, whose releases want Python 3.12. Celery runs with its default pool, of processes. It and RQ are
left out above concurrency 10, where they would be 100 processes and more; huey, which has a thread for each, is left
out at 1,000. The backlog of W7 is a million, on RabbitMQ 200,000, on SQS 20,000. SQS is an emulator, whose answers take
the longer the more messages it holds: that is what W4 at 1,000 and W7 show there, and no property of AWS.

The load of the machine stands beside each driver: a number above the two cores means that other work took part of them.
Then only ratios count, and of these only those of what was measured in one run: under each table stands what was not.
"""


ORIENTATION = """\
These depend on the machine as much as on us; its pace stands beside each driver. Those above count: ratios, and what a
machine changes little."""


def write(folder: Path = FOLDER, page: Path = PAGE, pictures: Path = PICTURES) -> None:
    """All drivers that have results."""
    known = [Results.load_from(path) for name in ORDER if (path := folder / f"{name}.json").exists()]
    pictures.mkdir(parents=True, exist_ok=True)
    for results in known:
        (pictures / f"{results.driver}.svg").write_text(picture(results), "utf-8")
    page.write_text(
        "\n".join([HEAD, *overview(known), *(line for one in known for line in section(one, pictures))]), "utf-8"
    )


def overview(known: Sequence[Results]) -> Iterator[str]:
    """The targets, and whether they were met."""
    yield from ("## What was to be reached", "")
    yield from targets(known, figures=False)
    yield from ("### For orientation", "", ORIENTATION, "")
    yield from targets(known, figures=True)
    yield from ("## Where we lose", "")
    yield from [line for results in known for line in losses(results)] or ["Nowhere."]
    yield ""


def targets(known: Sequence[Results], *, figures: bool) -> Iterator[str]:
    """Those that count, or the figures that depend on the machine."""
    yield from ("| driver | workload | | wanted | found | |", "|---|---|---|---|---|---|")
    for results in known:
        for one in judged(results):
            if one.measure.figure == figures:
                sign = "at most" if one.measure.most else "at least"
                verdict = "met" if one.met else "**missed**"
                cells = (results.driver, one.measure.workload, one.measure.words, f"{sign} {table.shown(one.wanted)}")
                yield f"| {' | '.join(cells)} | {table.shown(one.found)} | {verdict} |"
    yield ""


LESS = ("p95", "p99", "cpu_us", "memory_mb", "start_s", "commands")
"""Numbers beside the headline of which less is better."""


def losses(results: Results) -> Iterator[str]:
    """The workloads and numbers in which rivals are ahead, and which."""
    for workload in measured(results):
        names = {workload.headline: workload.more} | dict.fromkeys(LESS, False)
        for name, more in names.items():
            ours = results.median(workload.key, OURS, name)
            if ours is not None and (ahead := better(results, workload, name, ours, more=more)):
                what = workload.unit if name == workload.headline else table.spoken(name)
                where = f"{results.driver}, {workload.key} ({workload.title}), {what}"
                yield f"- {where}: {ahead} against {table.shown(ours)}"


def better(results: Results, workload: Workload, name: str, ours: float, *, more: bool) -> str:
    """Who of the same run is ahead, the best one first, and their numbers."""
    earlier = results.earlier.get(workload.key, {})
    found: list[str] = []
    for rival in results.rivals(workload.key, name, more=more):
        other = results.median(workload.key, rival, name)
        if other is None or earlier.get(rival) != earlier.get(OURS) or table.shown(other) == table.shown(ours):
            continue
        if other > ours if more else other < ours:
            found.append(f"{rival} {table.shown(other)}")
    return ", ".join(found)


def section(results: Results, pictures: Path) -> Iterator[str]:
    """A driver's."""
    load = " ".join(f"{number}" for number in results.load)
    yield from (f"## {results.driver}", "")
    yield f"{results.when} UTC, {results.server}, {results.durability}; {results.machine}; load at the end {load}."
    if results.seconds:
        yield from ("", f"The last run of all of it took {results.seconds / 60:.0f} minutes.")
    if results.busy:
        yield from ("", "**The machine was busy with other work: rates and times are far from what it can do.**")
    yield from ("", f"![bars](benchmarks/{results.driver}.svg)", "")
    flame = pictures / f"flame-{results.driver}.svg"
    if flame.exists():
        yield from (f"Where the worker's time goes at concurrency 100: [flame graph](benchmarks/{flame.name}).", "")
    for workload in measured(results):
        yield from (f"**{workload.key}**: {workload.title}", "")
        yield from markdown(table.columns(results, workload))
        yield ""
        earlier = results.earlier.get(workload.key, {})
        for when in sorted(set(earlier.values())):
            names = [name for name, then in earlier.items() if then == when]
            yield from (f"Of an earlier run ({when}): {', '.join(names)}.", "")
    yield from ("| | versions | settings | the tasks of a killed worker |", "|---|---|---|---|")
    for name, about in results.about.items():
        trouble = "".join(f"; {key} failed: `{said}`" for key, said in failures(about))
        yield f"| {name} | {versions(about)} | {about['settings']}{trouble} | {about['crash']} |"
        if "earlier" in about:
            yield f"| {name}, of an earlier run | {versions(about['earlier'])} | {about['earlier']['settings']} | |"
    yield ""


def versions(about: dict[str, Any]) -> str:
    """Of a contender's packages, in one line."""
    return ", ".join(f"{package} {version}" for package, version in about.get("versions", {}).items())


def failures(about: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a contender could not do, in a line each."""
    if "error" in about:
        yield "installation", tidy(f"{about['error']}")
    for key, said in about.get("errors", {}).items():
        yield key, tidy(said)


def tidy(said: str) -> str:
    """The last line, for a cell of a table."""
    lines = said.strip().splitlines() or [""]
    return lines[-1].replace("|", "/").replace("`", "'").strip()[-160:]


def markdown(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose first line is its head."""
    head, *rest = lines
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(line)} |" for line in rest)


def measured(results: Results) -> list[Workload]:
    """The workloads that have numbers of ours."""
    return [workload for workload in WORKLOADS if OURS in results.cells.get(workload.key, {})]


def picture(results: Results) -> str:
    """Bars of every workload that rivals were measured by, too."""
    groups = [group(results, workload) for workload in measured(results) if not workload.alone]
    return chart(f"asyncdq and its rivals on {results.driver}", groups)


def group(results: Results, workload: Workload) -> Group:
    """The bars of one workload."""
    hint = "more is better" if workload.more else "less is better"
    bars = [bar(results, workload, name) for name in table.order(results, workload)]
    return Group(f"{workload.key}: {workload.title} ({workload.unit}, {hint})", bars)


def bar(results: Results, workload: Workload, name: str) -> Bar:
    """One contender's."""
    number = results.median(workload.key, name, workload.headline)
    assert number is not None
    kind = {OURS: "ours", EVENTS: "ours", WATCHED: "ours", FLOOR: "floor"}.get(name, "rival")
    cell = results.cells[workload.key][name]
    said = (word for word in ("lost", "doubled", "over") if any(cell.get(word, [])))
    trouble = "".join(f", {word} {max(cell[word]):.0f}" for word in said)
    return Bar(
        name, kind, number, *results.spread(workload.key, name, workload.headline), table.shown(number) + trouble
    )


if __name__ == "__main__":
    write()
    print(f"written to {PAGE}", file=sys.stderr)

"""What is measured: each workload measures one contender once, on an empty store, and yields numbers by name."""

from __future__ import annotations

from dataclasses import dataclass

from .bench import Measure
from .contender import EVENTS, FLOOR, OURS, WATCHED, Contender
from .latency import cold, idle, inside, latency
from .occupancy import cpu, io
from .throughput import backlog, delayed, drain, enqueue


@dataclass(frozen=True, slots=True)
class Workload:
    """`headline` is the number that contenders are compared by; `more` of it is better, or less.

    `rounds` is how often at most each contender is measured; `alone`: only asyncdq is, and by W10 the best rival;
    `floor`: the floor, too, which runs nothing and waits for nothing. `without` are drivers that it says nothing about.
    """

    key: str
    title: str
    headline: str
    unit: str
    measure: Measure
    more: bool = True
    rounds: int = 9
    concurrency: int = 1
    alone: bool = False
    floor: bool = False
    without: tuple[str, ...] = ()

    def fits(self, contender: Contender, driver: str) -> bool:
        """Whether this contender is ever measured by it, on this driver."""
        if driver in self.without or self.concurrency > contender.most:
            return False
        if contender.name in (EVENTS, WATCHED):
            return self.key == "W2 c100"  # elsewhere it is the same
        if contender.name == FLOOR:
            return self.floor
        return not self.alone or contender.name == OURS or self.beside_best

    @property
    def beside_best(self) -> bool:
        """Whether the best rival is measured beside asyncdq alone."""
        return self.key.startswith("W10")


FILE = ("sqlite", "sqs")
"""What no proxy stands in front of: a file, and an endpoint that its client names in another place."""

SERVERS = ("redis", "postgres", "rabbitmq", "mysql", "sqs")
"""What every worker reaches over a connection: one in the producer's process is no nearer."""

WORKLOADS = [
    Workload("W1", "awaited enqueues, one by one", "rate", "/s", enqueue("single", "W1"), floor=True),
    Workload("W1c", "100 concurrent enqueues", "rate", "/s", enqueue("concurrent", "W1c"), floor=True),
    Workload("W1b", "bulk enqueue", "rate", "/s", enqueue("bulk", "W1b"), floor=True),
    Workload("W2 c10", "no-op tasks, concurrency 10", "rate", "/s", drain(10, "W2 c10"), concurrency=10, floor=True),
    Workload(
        "W2 c100", "no-op tasks, concurrency 100", "rate", "/s", drain(100, "W2 c100"), concurrency=100, floor=True
    ),
    Workload(
        "W3", "enqueue to start, idle worker", "p50", "ms", latency(half=False), more=False, rounds=2, concurrency=10
    ),
    Workload(
        "W3 inside",
        "enqueue to start, idle worker in the same process",
        "p50",
        "ms",
        inside,
        more=False,
        rounds=2,
        alone=True,
        without=SERVERS,
    ),
    Workload("W3 half", "enqueue to start, half load", "p50", "ms", latency(half=True), False, 1, 10),
    Workload("W4 c10", "waits of 100 ms, concurrency 10", "share", "%", io(10), rounds=1, concurrency=10),
    Workload("W4 c1000", "waits of 100 ms, concurrency 1,000", "share", "%", io(1000), rounds=1, concurrency=1000),
    Workload("W5", "2.4 ms of CPU, 2 processes", "share", "%", cpu, rounds=1),
    Workload("W7", "claims before a large backlog", "ratio", "x", backlog, False, 1, alone=True),
    Workload("W8", "idle worker", "cpu_percent", "% CPU", idle, False, 1, 10),
    Workload("W9", "asyncdq --help", "help_s", "s", cold, False, 1, alone=True),
    Workload(
        "W10 c10", "1 ms each way, concurrency 10", "ratio", "", delayed(10), True, 1, 10, alone=True, without=FILE
    ),
    Workload(
        "W10 c100",
        "1 ms each way, concurrency 100",
        "ratio",
        "",
        delayed(100),
        True,
        1,
        100,
        alone=True,
        without=FILE,
    ),
]

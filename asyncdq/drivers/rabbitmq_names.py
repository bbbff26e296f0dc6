"""What we declare in RabbitMQ, by name, and how a delay is told to it.

With the exchange name `asyncdq`:

    asyncdq                  topic exchange; everything that is ready comes through it, with the queue as routing key
    asyncdq:work             the queue of that name
    asyncdq:work:redelivered what came back without an outcome: fetched one by one, see `rabbitmq_lane.py`
    asyncdq:work:dead        its dead letters
    asyncdq:delay:K          exchange and queue of rung K, for K from 31 to 0

The ladder: a delay is a binary number of UNITs. It is written into the routing key, one word per bit, the highest
first, and the queue's name as the last: `0.0.(...).1.0.1.work`. At rung K the exchange looks at the word of bit K:
a 1 goes to the rung's queue, where it stays 2**K units and then falls to the next rung; a 0 falls there at once.
Below rung 0 is the exchange `asyncdq`. A message enters at its highest bit. All rungs are shared by all queues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

RUNGS = 32

UNIT = 125
"""Milliseconds of the lowest rung: what a delay is rounded up to."""

LONGEST = float(2**29 - 1)
"""Seconds of the longest delay."""

# A limit of its own would drop what was redelivered so often, and -1 drops at the first time (RabbitMQ 3.10).
# Counting is our business: see `lost`.
KEPT = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}


@dataclass(frozen=True, slots=True)
class Names:
    """All names under one exchange name."""

    exchange: str

    def queue(self, queue: str) -> str:
        """The queue of this name."""
        return f"{self.exchange}:{queue}"

    def redelivered(self, queue: str) -> str:
        """What came back from it without an outcome."""
        return f"{self.exchange}:{queue}:redelivered"

    def waiting(self, queue: str) -> tuple[str, str]:
        """Where what is ready waits: to be pushed, and to be fetched."""
        return self.queue(queue), self.redelivered(queue)

    def dead(self, queue: str) -> str:
        """Its dead letters."""
        return f"{self.exchange}:{queue}:dead"

    def rung(self, number: int) -> str:
        """The exchange and the queue of a rung; below the lowest is the exchange."""
        return f"{self.exchange}:delay:{number}" if number >= 0 else self.exchange

    def rung_arguments(self, number: int) -> Mapping[str, str | int]:
        """How the queue of a rung is declared: what has waited falls, and is kept until it has arrived."""
        return {
            "x-queue-type": "quorum",
            # The broker's clock counts whole milliseconds, so a wait may be one shorter than it says.
            "x-message-ttl": UNIT * 2**number + 1,
            "x-dead-letter-exchange": self.rung(number - 1),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }

    def entry(self, queue: str, delay: float) -> tuple[str, str]:
        """The exchange and the routing key of a message that is due after `delay` seconds."""
        units = ceil(delay * 1000 / UNIT) if delay > 0 else 0
        if units == 0:
            return self.exchange, queue
        bits = f"{min(units, 2**RUNGS - 1):0{RUNGS}b}"
        return self.rung(RUNGS - 1 - bits.index("1")), ".".join([*bits, queue])

    def rungs(self, top: str) -> Iterator[int]:
        """The numbers of the rungs that a message which enters at `top` may pass, the lowest first."""
        yield from range(int(top.rpartition(":")[2]) + 1)


def bit(number: int, value: int) -> str:
    """The binding for messages whose bit of this rung is `value`."""
    return ".".join([*["*"] * (RUNGS - 1 - number), f"{value}", "#"])


def arrival(queue: str) -> str:
    """The binding for messages that have passed the whole ladder."""
    return ".".join([*["*"] * RUNGS, queue])

"""What the scripts are given and answer, as the nouns of the core: entries, outcomes and letters.

An entry is token(8) attempt(4) lost(4) id. The entry under which a delivery is leased is its receipt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from struct import Struct
from typing import Any

from ..message import Again, Dead, DeadLetter, Delivery, Done, Message, Outcome, Unstarted, executions

_COUNTERS = Struct(">II")
_COUNTERS_AT = 8
_ID_AT = 16
_MOST = 2**32 - 1

_PARCEL = 8 * 2**20
"""Bytes of the bodies that one enqueue script gets, unless one is larger."""

_LONGEST = 7e15
"""Microseconds, 220 years: a sum with today that a double still holds exactly."""


def microseconds(seconds: float) -> bytes:
    """A duration as the scripts want it; never less, so what is left of a microsecond counts as one."""
    return b"%d" % ceil(min(seconds * 1e6, _LONGEST)) if seconds > 0 else b"0"


def parcels(messages: Sequence[Message], most: int) -> Iterator[tuple[str, list[int]]]:
    """The messages, by their places, in portions of one queue that a script can take."""
    if len(messages) == 1:
        yield messages[0].queue, [0]
        return
    open_parcels: dict[str, tuple[list[int], int]] = {}
    for place, message in enumerate(messages):
        places, size = open_parcels.get(message.queue, ([], 0))
        size += len(message.body)
        if places and (len(places) == most or size > _PARCEL):
            yield message.queue, places
            places, size = [], len(message.body)
        places.append(place)
        open_parcels[message.queue] = places, size
    for queue, (places, _) in open_parcels.items():
        yield queue, places


def contents(messages: Iterable[Message]) -> Iterator[bytes]:
    """What the enqueue script is told about messages."""
    for message in messages:
        yield message.id.encode()
        yield message.body
        yield microseconds(message.delay)


def deliveries(queues: Sequence[str], answer: Sequence[Any]) -> list[Delivery]:
    """What the claim script hands out: the place of a queue, its entries, their bodies, and so on."""
    claimed: list[Delivery] = []
    for place, entries, bodies in zip(*[iter(answer)] * 3, strict=True):
        queue = queues[int(place) - 1]
        for entry, body in zip(entries, bodies, strict=True):
            attempt, lost = _COUNTERS.unpack_from(entry, _COUNTERS_AT)
            id: str = entry[_ID_AT:].decode()
            claimed.append(Delivery(id, queue, body, attempt, lost, entry))
    return claimed


def by_queue(all_deliveries: Iterable[Delivery], most: int) -> list[tuple[str, list[int]]]:
    """The places of deliveries, in portions of one queue and at most `most`."""
    places: dict[str, list[int]] = {}
    for place, delivery in enumerate(all_deliveries):
        places.setdefault(delivery.queue, []).append(place)
    return [(queue, own[at : at + most]) for queue, own in places.items() for at in range(0, len(own), most)]


@dataclass(slots=True)
class Verdicts:
    """Outcomes of one queue in the order in which the settle script takes them; `places` says where they were."""

    done: list[bytes] = field(default_factory=list[bytes])
    moved: list[bytes] = field(default_factory=list[bytes])
    dead: list[bytes] = field(default_factory=list[bytes])
    _places: tuple[list[int], list[int], list[int]] = field(default_factory=lambda: ([], [], []))

    def add(self, place: int, delivery: Delivery, outcome: Outcome) -> None:
        """Take one more; `place` is where the caller had it."""
        entry: bytes = delivery.receipt
        match outcome:
            case Done():
                self._places[0].append(place)
                self.done.append(entry)
            case Again(delay, counted):
                counters = _COUNTERS.pack(min(delivery.attempt + counted, _MOST), 0)
                next_one = entry[:_COUNTERS_AT] + counters + entry[_ID_AT:]
                self._places[1].append(place)
                self.moved += (entry, next_one, microseconds(delay), b"0")
            case Unstarted(delay):
                self._places[1].append(place)
                self.moved += (entry, entry, microseconds(delay), b"1")
            case Dead(reason, error, detail):
                self._places[2].append(place)
                said = [reason, error, detail, executions(delivery, reason)]
                self.dead += (entry, json.dumps(said).encode())

    def arguments(self) -> list[bytes]:
        """What the script is told behind the channel and the horizon."""
        counts = [b"%d" % len(self.done), b"%d" % (len(self.moved) // 4)]
        return [*counts, *self.done, *self.moved, *self.dead]

    def places(self) -> list[int]:
        """The places in the order of `arguments`."""
        done, moved, dead = self._places
        return done + moved + dead


def letter(queue: str, id: str, value: bytes) -> DeadLetter:
    """A dead letter as it is stored: when it died, what is said about it, its body; a line each."""
    died_at, said, body = value.split(b"\n", 2)
    reason, error, detail, attempts = json.loads(said)
    return DeadLetter(id, queue, body, reason, error, detail, attempts, int(died_at) / 1e6)

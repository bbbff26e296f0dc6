"""The verbs on messages, in SQL. Each runs on the writer's connection, inside its transaction.

Why the shapes are what they are. Every step of a statement gives up the interpreter's lock, and gets it
back up to 5 ms later if another thread computes: so a call takes few steps, not one per row. Lists of
rows travel as one JSON parameter. The fence is one statement for a whole batch; what it let through is
then written by `seq` alone, in the same transaction.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from ..message import Again, Dead, Delivery, Done, Message, Outcome, Unstarted, executions
from .sqlite_wakes import LOOK_AGAIN

_INSERT = "insert into task_queue (queue, id, body, visible_at) values (?, ?, ?, ?) on conflict (queue, id) do nothing"

_READY = """
select seq, id, body, attempt, lost + (token is not null), visible_at from task_queue
where queue = ? and visible_at <= ? order by visible_at, seq limit ?"""

# A token that is still there belongs to a lease that ended without an outcome.
_LEASE = """
update task_queue set visible_at = ?, token = ?, lost = lost + (token is not null)
where seq in (select value from json_each(?))"""

_OURS = """
select json_group_array(receipt.key)
from json_each(?) as receipt
cross join task_queue as task
    on task.seq = json_extract(receipt.value, '$[0]') and task.token = json_extract(receipt.value, '$[1]')"""

# As _OURS for those of one token, at a fifth of the cost; it says how many, and that is nearly always all.
_HOW_MANY = "select count(*) from task_queue where token = ? and seq in (select value from json_each(?))"

_FORGET = "delete from task_queue where seq in (select value from json_each(?))"

_RETURN = "update task_queue set token = null, visible_at = ?, attempt = attempt + ?, lost = lost * ? where seq = ?"

_BURY = """
insert or replace into dead_letter_queue (queue, id, body, reason, error, detail, attempts, died_at)
select queue, id, body, ?, ?, ?, ?, ? from task_queue where seq = ?"""

_FOREVER = 2**62
"""Microseconds: later than any clock will show, and still an integer of the database."""


class Receipt(NamedTuple):
    """Proof of a lease; `visible_at` is the place in the queue from which the message was taken."""

    seq: int
    token: int
    visible_at: int


@dataclass(slots=True)
class _Changes:
    """What a batch of outcomes does to the tables."""

    gone: list[int] = field(default_factory=list[int])
    back: list[tuple[int, bool, bool, int]] = field(default_factory=list[tuple[int, bool, bool, int]])
    dead: list[tuple[str, str, str, int, float, int]] = field(
        default_factory=list[tuple[str, str, str, int, float, int]]
    )
    soonest: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, delivery: Delivery, outcome: Outcome, now: int) -> None:
        seq, _, taken_from = delivery.receipt
        match outcome:
            case Done():
                self.gone.append(seq)
            case Again(delay, counted):
                self._back(delivery, due(now, delay), counted, False)
            case Unstarted(delay):
                self._back(delivery, due(now, delay) if delay > 0 else taken_from, False, True)
            case Dead(reason, error, detail):
                self.dead.append((reason, error, detail, executions(delivery, reason), now / 1e6, seq))
                self.gone.append(seq)

    def _back(self, delivery: Delivery, visible_at: int, counted: bool, keep_lost: bool) -> None:
        self.back.append((visible_at, counted, keep_lost, delivery.receipt.seq))
        self.soonest[delivery.queue] = min(visible_at, self.soonest.get(delivery.queue, visible_at))

    def write(self, connection: sqlite3.Connection) -> None:
        if self.back:
            connection.executemany(_RETURN, self.back)
        if self.dead:
            connection.executemany(_BURY, self.dead)
        if self.gone:
            connection.execute(_FORGET, (json.dumps(self.gone),))


def clock() -> int:
    """Now, in whole microseconds of unix time."""
    return time.time_ns() // 1000


def due(now: int, delay: float) -> int:
    """The moment `delay` seconds after `now`; never early, so what is left of a microsecond counts as one."""
    return now if delay <= 0 else min(now + 1 + ceil(min(delay, 1e12) * 1e6), _FOREVER)


def enqueue(connection: sqlite3.Connection, messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """Store them; return those whose id was known, and the queues to announce."""
    now = clock()
    rows = [(each.queue, each.id, each.body, due(now, each.delay)) for each in messages]
    soonest: dict[str, int] = {}
    for queue, _, _, visible_at in rows:
        soonest[queue] = min(visible_at, soonest.get(queue, visible_at))
    announced = _to_announce(connection, soonest, now)
    (last,) = connection.execute("select max(seq) from task_queue").fetchone()
    stored = connection.executemany(_INSERT, rows).rowcount
    return ([] if stored == len(rows) else _known(connection, messages, last or 0)), announced


def _known(connection: sqlite3.Connection, messages: Sequence[Message], last: int) -> list[Message]:
    """Those that were not stored: their row is not newer than `last`, or an earlier one of the batch made it."""
    made: set[tuple[str, str]] = set()
    known: list[Message] = []
    for each in messages:
        key = (each.queue, each.id)
        (seq,) = connection.execute("select seq from task_queue where queue = ? and id = ?", key).fetchone()
        if seq <= last or key in made:
            known.append(each)
        made.add(key)
    return known


def claim(connection: sqlite3.Connection, queues: Mapping[str, int], limit: int, lease: float) -> list[Delivery]:
    """Lease up to `limit` ready messages, in the order of `queues`."""
    now = clock()
    token = int.from_bytes(os.urandom(8), signed=True)
    claimed: list[Delivery] = []
    for queue, most in queues.items():
        room = min(most, limit - len(claimed))
        if room <= 0:
            continue
        for seq, id, body, attempt, lost, visible_at in connection.execute(_READY, (queue, now, room)).fetchall():
            claimed.append(Delivery(id, queue, body, attempt, lost, Receipt(seq, token, visible_at)))
    if claimed:
        places = json.dumps([delivery.receipt.seq for delivery in claimed])
        connection.execute(_LEASE, (due(now, lease), token, places))
    return claimed


def settle(
    connection: sqlite3.Connection, outcomes: Sequence[tuple[Delivery, Outcome]]
) -> tuple[list[Delivery], list[str]]:
    """Write the outcomes; return the deliveries that were no longer ours, and the queues to announce."""
    if all(isinstance(outcome, Done) for _, outcome in outcomes) and _forgotten(connection, outcomes):
        return [], []
    now = clock()
    ours = _ours(connection, [delivery for delivery, _ in outcomes])
    changes = _Changes()
    lost: list[Delivery] = []
    for position, (delivery, outcome) in enumerate(outcomes):
        if position in ours:
            changes.add(delivery, outcome, now)
        else:
            lost.append(delivery)
    announced = _to_announce(connection, changes.soonest, now)
    changes.write(connection)
    return lost, announced


def _forgotten(connection: sqlite3.Connection, done: Sequence[tuple[Delivery, Outcome]]) -> bool:
    """Delete what is done, if all of it is still ours; else nothing, since it has to be said which is not."""
    places: dict[int, list[int]] = {}
    for delivery, _ in done:
        places.setdefault(delivery.receipt.token, []).append(delivery.receipt.seq)
    for token, own in places.items():
        (found,) = connection.execute(_HOW_MANY, (token, json.dumps(own))).fetchone()
        if found < len(own):
            return False
    connection.execute(_FORGET, (json.dumps([seq for own in places.values() for seq in own]),))
    return True


def extend(connection: sqlite3.Connection, deliveries: Sequence[Delivery], lease: float) -> list[Delivery]:
    """Let the leases end `lease` seconds from now; return the deliveries that were no longer ours."""
    ours = _ours(connection, deliveries)
    places = json.dumps([deliveries[position].receipt.seq for position in ours])
    connection.execute(
        "update task_queue set visible_at = ? where seq in (select value from json_each(?))",
        (due(clock(), lease), places),
    )
    return [delivery for position, delivery in enumerate(deliveries) if position not in ours]


def waiting(connection: sqlite3.Connection, queue: str) -> int:
    """How many messages no lease names."""
    sql = "select count(*) from task_queue where queue = ? and token is null"
    (found,) = connection.execute(sql, (queue,)).fetchone()
    return int(found)


def purge(connection: sqlite3.Connection, queue: str, most: int) -> int:
    """Delete up to `most` that no lease names; return how many that were."""
    some = "select seq from task_queue where queue = ? and token is null limit ?"
    return connection.execute(f"delete from task_queue where seq in ({some})", (queue, most)).rowcount


def earliest(connection: sqlite3.Connection, queue: str) -> int:
    """When the first message of the queue is or was due; later than all clocks if it has none."""
    (visible_at,) = connection.execute("select min(visible_at) from task_queue where queue = ?", (queue,)).fetchone()
    return _FOREVER if visible_at is None else visible_at


def seconds_until_due(connection: sqlite3.Connection, queues: Iterable[str]) -> float:
    """Until a message of `queues` is ready, by its delay or the end of its lease; 0 or less if one is."""
    soonest = min((earliest(connection, queue) for queue in queues), default=_FOREVER)
    return (soonest - clock()) / 1e6


def _ours(connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> set[int]:
    """The positions of those whose lease is still the one in the table; a delivery given twice counts once."""
    receipts = json.dumps([delivery.receipt[:2] for delivery in deliveries])
    found: list[int] = json.loads(connection.execute(_OURS, (receipts,)).fetchone()[0])
    return set({deliveries[position].receipt.seq: position for position in found}.values())


def _to_announce(connection: sqlite3.Connection, soonest: Mapping[str, int], now: int) -> list[str]:
    """The queues whose waiters sleep too long for what is written now; asked before it is written.

    They sleep until the earliest message of the queue is due, so only an earlier one is news to them.
    """
    horizon = now + int(LOOK_AGAIN * 1e6)
    return [
        queue
        for queue, visible_at in soonest.items()
        if visible_at < horizon and now < (first := earliest(connection, queue)) and visible_at < first
    ]

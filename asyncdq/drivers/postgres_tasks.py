"""The verbs on messages: each is one statement, whatever the size of its batch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from operator import itemgetter
from typing import Any

from ..errors import Blocked
from ..message import Again, Dead, Delivery, Done, Message, Outcome, Unstarted, executions
from .postgres_errors import LOCKED
from .postgres_floor import Floor
from .postgres_link import WRITABLE, Connection
from .postgres_prepared import Prepared
from .postgres_tables import Tables

PART = 8 * 2**20
"""Bytes of bodies in one statement: more would not pass within its timeout on a slow line."""

PURGED_AT_ONCE = 10_000

KEEPS = "PostgreSQL: another session keeps a row of these tasks locked; pg_stat_activity shows which"

_FOREVER = 8e9  # seconds, 253 years: a time of the server that far ahead still exists


def microseconds(seconds: float) -> int:
    """Never less: what is left of a microsecond counts as one, and the clock's own rounding as another."""
    return 0 if seconds <= 0 else ceil(min(seconds, _FOREVER) * 1e6) + 1


def parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The messages in runs that are small enough for one statement."""
    begin = size = 0
    for end, message in enumerate(messages):
        if size and size + len(message.body) > PART:
            yield messages[begin:end]
            begin, size = end, 0
        size += len(message.body)
    yield messages[begin:]


async def enqueue(connection: Connection, tables: Tables, messages: Sequence[Message]) -> list[Message]:
    """Store them; return those whose id was known."""
    if len(messages) == 1:
        return await _enqueue_one(connection, tables, messages[0])
    row = await connection.fetchrow(
        tables.enqueue,
        [each.queue for each in messages],
        [each.id for each in messages],
        [microseconds(each.delay) for each in messages],
        [each.body for each in messages],
    )
    assert row is not None
    return [] if row["stored"] is None else _known(messages, set(row["stored"]))


async def _enqueue_one(connection: Connection, tables: Tables, message: Message) -> list[Message]:
    columns = message.queue, message.id, microseconds(message.delay), message.body
    return [] if await connection.fetchval(tables.enqueue_one, *columns) else [message]


def _known(messages: Sequence[Message], stored: set[str]) -> list[Message]:
    """Those that were not stored; of those with the same id in one batch the first one was."""
    known: list[Message] = []
    for each in messages:
        key = f"{each.queue} {each.id}"
        if key in stored:
            stored.remove(key)
        else:
            known.append(each)
    return known


async def claim(
    connection: Connection, tables: Tables, floor: Floor, queues: Mapping[str, int], limit: int, lease: float
) -> list[Delivery]:
    """Lease up to `limit` ready messages, in the order of `queues`."""
    token = int.from_bytes(os.urandom(8), signed=True)
    shares = [max(0, min(most, limit)) for most in queues.values()]
    asked_at = asyncio.get_running_loop().time()
    floors = floor.at(asked_at)
    columns = list(queues), shares, limit, microseconds(lease), token
    rows = await connection.fetch(tables.claim, *columns, [floors.get(queue) for queue in queues])
    if floors and not rows:
        floor.forget()
        rows = await connection.fetch(tables.claim, *columns, [None] * len(queues))
    rows.sort(key=itemgetter(1, 2))  # an update returns its rows in any order
    if len(queues) > 1:
        position = {queue: number for number, queue in enumerate(queues)}
        rows.sort(key=lambda row: position[row[0]])
    if len(rows) < limit:
        floor.forget()
    else:
        floor.learn(floors, asked_at, {row[0]: row[1] for row in reversed(rows)})
    return [Delivery(id, queue, body, attempt, lost, token) for queue, _, _, id, body, attempt, lost in rows]


async def settle(
    connection: Connection,
    tables: Tables,
    floor: Floor,
    prepared: Prepared,
    outcomes: Sequence[tuple[Delivery, Outcome]],
    sent: Callable[[], None],
) -> list[Delivery]:
    """Write the outcomes; return the deliveries that were no longer ours. Given twice, the first one holds.

    Raises Blocked if a row stays locked: then nothing is written.
    """
    firsts: dict[tuple[str, str, int], tuple[Delivery, Outcome]] = {}
    twice: list[Delivery] = []
    for delivery, outcome in outcomes:
        key = delivery.queue, delivery.id, delivery.receipt
        if key in firsts:
            twice.append(delivery)
        else:
            firsts[key] = (delivery, outcome)
    order = sorted(firsts)  # the rows are locked in it, whoever settles
    keys = map(list, zip(*order, strict=True))
    chosen = [firsts[key] for key in order]
    try:
        if all(isinstance(outcome, Done) for _, outcome in chosen):
            ours = await prepared.ask(connection, sent, tables.done, *keys)
        else:
            rows = [_row(delivery, outcome) for delivery, outcome in chosen]
            ours = await prepared.ask(connection, sent, tables.settle, *keys, *map(list, zip(*rows, strict=True)))
            floor.forget()  # what never began is at its old place again
    except LOCKED as error:
        raise Blocked(KEEPS) from error
    return _lost([delivery for delivery, _ in chosen], ours) + twice


def _row(delivery: Delivery, outcome: Outcome) -> tuple[Any, ...]:
    """kind, pause, counted, kept, reason, error, detail, attempts: what postgres_settle.sql takes."""
    match outcome:
        case Done():
            return "done", None, 0, 1, "", "", "", 0
        case Again(delay, counted):
            return "back", microseconds(delay), int(counted), 0, "", "", "", 0
        case Unstarted(delay):
            return "back", microseconds(delay) if delay > 0 else None, 0, 1, "", "", "", 0
        case Dead(reason, error, detail):
            return "dead", None, 0, 1, reason, error, detail, executions(delivery, reason)


async def extend(
    connection: Connection, tables: Tables, deliveries: Sequence[Delivery], lease: float
) -> list[Delivery]:
    """Let the leases end `lease` seconds from now; return the deliveries that were no longer ours.

    Raises Blocked if a row is locked: it is passed by.
    """
    keys = [list(column) for column in zip(*((each.queue, each.id, each.receipt) for each in deliveries), strict=True)]
    extended: list[int] | None = await connection.fetchval(tables.extend, *keys, microseconds(lease))
    if extended is None:
        return []
    ours: list[int] = await connection.fetchval(tables.held, *keys)
    lost = _lost(deliveries, [*extended, *ours])
    if held := [deliveries[position - 1] for position in {*ours} - {*extended}]:
        raise Blocked(KEEPS, held=held, lost=lost)
    return lost


def _lost(deliveries: Sequence[Delivery], ours: Sequence[int] | None) -> list[Delivery]:
    """Those whose position, counted from 1, is not in `ours`; None stands for all positions."""
    if ours is None:
        return []
    found = set(ours)
    return [delivery for position, delivery in enumerate(deliveries, 1) if position not in found]


async def due(connection: Connection, tables: Tables, queues: Sequence[str]) -> tuple[dict[str, float], bool]:
    """In how many seconds the first message of each queue is ready, 0 or less if it is; and whether the server can be
    written."""
    rows = await connection.fetch(
        f"""select wanted.queue, (
            select extract(epoch from visible_at - clock_timestamp())::float8 from {tables.tasks} as task
            where task.queue = wanted.queue order by visible_at, seq limit 1
        ), {WRITABLE} from unnest($1::text[]) as wanted (queue)""",
        list(queues),
    )
    return {queue: seconds for queue, seconds, _ in rows if seconds is not None}, all(row[2] for row in rows)


async def newest(connection: Connection, tables: Tables, queue: str) -> int:
    """The place of the newest message of the queue, 0 if it has none."""
    found = await connection.fetchval(f"select max(seq) from {tables.tasks} where queue = $1", queue)
    return found or 0


async def purge(connection: Connection, tables: Tables, queue: str, newest: int) -> int:
    """Delete some of what no lease names and is not newer than `newest`; return how many that were."""
    deleted = await connection.fetchval(
        f"""with gone as (
            delete from {tables.tasks} where ctid = any (array(
                select ctid from {tables.tasks} where queue = $1 and token is null and seq <= $2
                limit {PURGED_AT_ONCE} for update skip locked
            )) returning 1
        ) select count(*) from gone""",
        queue,
        newest,
    )
    assert isinstance(deleted, int)
    return deleted

"""The verbs on messages: each is one round trip, whatever the size of its batch."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

import aiomysql
from aiomysql import Connection

from ..errors import Blocked, DriverError
from ..message import Delivery, Message
from .mysql_errors import DUPLICATE, code_of
from .mysql_link import NOW, ask, text
from .mysql_tables import Tables

PURGED_AT_ONCE = 10_000

KEEPS = "MySQL: another session keeps a row of these tasks locked; information_schema.innodb_trx shows which"

_FOREVER = 8e9  # seconds, 253 years: sums of them are still whole numbers


class Receipt(NamedTuple):
    """Proof of a lease."""

    seq: int
    token: int


def microseconds(seconds: float) -> int:
    """Never less: what is left of a microsecond counts as one, and the clock's own rounding as another."""
    return 0 if seconds <= 0 else ceil(min(seconds, _FOREVER) * 1e6) + 1


def parts(messages: Sequence[Message], room: int) -> list[list[Message]]:
    """The messages in runs that fit into one statement of `room` bytes."""
    runs: list[list[Message]] = []
    size = room
    for each in messages:
        needed = 2 * len(each.body) + len(each.id) * 2 + len(each.queue) + 150  # a body travels in hexadecimal digits
        if size + needed > room:
            runs.append([])
            size = 0
        runs[-1].append(each)
        size += needed
    return runs


async def enqueue(connection: Connection, tables: Tables, messages: Sequence[Message]) -> list[Message]:
    """Store them; return those whose id was known.

    All are new almost always: so all are tried in one statement. It refuses all if one is known; which those are
    is asked then, and the others are tried again, until none has come in between.
    """
    firsts: dict[tuple[str, str], Message] = {}
    for each in messages:
        firsts.setdefault((each.queue, each.id), each)
    rows = {key: _row(each) for key, each in firsts.items()}
    while rows:
        try:
            await ask(
                connection, f"insert into {tables.tasks} (queue, id, visible_at, body) values {','.join(rows.values())}"
            )
            break
        except aiomysql.IntegrityError as error:
            if code_of(error) != DUPLICATE:
                raise
        for key in await _there(connection, tables, rows):
            del rows[key]
    stored = {id(firsts[key]) for key in rows}
    return [each for each in messages if id(each) not in stored]


def _row(message: Message) -> str:
    due = f"{NOW} + {microseconds(message.delay)}" if message.delay > 0 else NOW
    return f"({text(message.queue)},{text(message.id)},{due},x'{message.body.hex()}')"


async def _there(connection: Connection, tables: Tables, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of (queue, id) that wait or run."""
    by_queue: dict[str, list[str]] = {}
    for queue, id in keys:
        by_queue.setdefault(queue, []).append(text(id))
    asked = [
        f"select queue, id from {tables.tasks} force index (message)"
        f" where queue = {text(queue)} and id in ({','.join(names)})"
        for queue, names in by_queue.items()
    ]
    return [(queue, id) for answer in await ask(connection, ";".join(asked)) for queue, id in answer.rows]


async def claim(
    connection: Connection, tables: Tables, queues: Mapping[str, int], limit: int, lease: float
) -> list[Delivery]:
    """Lease up to `limit` ready messages, in the order of `queues`."""
    token = int.from_bytes(os.urandom(8), signed=True)
    shares = [(queue, min(most, limit)) for queue, most in queues.items() if most > 0]
    if not shares:
        return []
    names = ",".join(text(queue) for queue, _ in shares)
    rows = (
        await ask(
            connection,
            f"set @now = {NOW}, @token = {token}; set @until = @now + {microseconds(lease)};"
            f"start transaction; {_claims(tables, shares, limit)};"
            f"select queue, taken_from, seq, id, body, attempt, lost from {tables.tasks} force index (ready)"
            f" where queue in ({names}) and visible_at = @until and token = @token; commit",
        )
    )[-2].rows
    if len(rows) > 1:
        position = {queue: number for number, (queue, _) in enumerate(shares)}
        rows.sort(key=lambda row: (position[row[0]], row[1], row[2]))
    return [
        Delivery(id, queue, body, attempt, lost, Receipt(seq, token)) for queue, _, seq, id, body, attempt, lost in rows
    ]


def _claims(tables: Tables, shares: Sequence[tuple[str, int]], limit: int) -> str:
    """One statement per queue. The limit of a later one is what is left, which only a prepared statement takes."""
    (first, most), *rest = shares
    statements = [tables.claim.format(queue=text(first), most=most)]
    if rest:
        prepared = tables.claim.format(queue="?", most="?")
        statements += [f"set @room = {limit} - row_count()", f"prepare asyncdq from '{prepared}'"]
    for queue, most in rest:
        statements += [
            f"set @queue = {text(queue)}, @most = least({most}, @room)",
            "execute asyncdq using @queue, @most",
            "set @room = @room - row_count()",
        ]
    return ";".join(statements)


def ours(receipts: Collection[Receipt], of: str = "task.") -> str:
    """The condition for the rows of these leases. The key alone decides which rows are read."""
    places = ",".join(f"{receipt.seq}" for receipt in receipts)
    pairs = ",".join(f"({receipt.seq},{receipt.token})" for receipt in receipts)
    return f"{of}seq in ({places}) and ({of}seq, {of}token) in ({pairs})"


async def extend(
    connection: Connection, tables: Tables, deliveries: Sequence[Delivery], lease: float
) -> list[Delivery]:
    """Let the leases end `lease` seconds from now; return the deliveries that were no longer ours.

    Raises Blocked if a row is locked: it is passed by, so that the leases of all others do not end because of one.
    It is ours until its lease ends: then it may be locked by who is claiming it at this moment.
    """
    answers = await ask(connection, extension(tables, [each.receipt for each in deliveries], lease))
    kept: dict[tuple[int, int], int] = {(seq, token): extended for seq, token, extended in answers[-1].rows}
    lost = [each for each in deliveries if each.receipt not in kept]
    if held := [each for each in deliveries if not kept.get(each.receipt, True)]:
        raise Blocked(KEEPS, held=held, lost=lost)
    return lost


def extension(tables: Tables, receipts: Collection[Receipt], lease: float) -> str:
    """The statements of `extend`; the last one tells which leases are ours, and whether they are extended.

    The limit says nothing new. It keeps MySQL from merging the derived table into the update, which then waits for
    locks.
    """
    tasks, mine = f"{tables.tasks} as task force index (primary)", ours(receipts)
    free = f"select seq from {tasks} where {mine} limit {len(receipts)} for update skip locked"
    alive = f"(visible_at = @until or visible_at > {NOW})"
    return (
        f"set @until = {NOW} + {microseconds(lease)};"
        f"update ({free}) as free straight_join {tasks} on task.seq = free.seq set task.visible_at = @until;"
        f"select seq, token, visible_at = @until from {tasks} where {mine} and {alive}"
    )


async def due(connection: Connection, tables: Tables, queues: Sequence[str]) -> dict[str, float]:
    """In how many seconds the first message of each queue is ready; 0 or less if it is. Locks nothing."""
    probes = ",".join(
        f"(select visible_at - {NOW} from {tables.tasks} force index (ready)"
        f" where queue = {text(queue)} order by visible_at, seq limit 1)"
        for queue in queues
    )
    (answer,) = await ask(connection, f"select {probes}")
    return {queue: left / 1e6 for queue, left in zip(queues, answer.rows[0], strict=True) if left is not None}


async def newest(connection: Connection, tables: Tables) -> int:
    """The place of the newest message, 0 if there is none."""
    (answer,) = await ask(connection, f"select coalesce(max(seq), 0) from {tables.tasks}")
    found = answer.rows[0][0]
    assert isinstance(found, int)
    return found


async def purge(connection: Connection, tables: Tables, queue: str, newest: int) -> int:
    """Delete some of what no lease names and is not newer than `newest`; return how many that were."""
    (answer,) = await ask(
        connection,
        f"delete task from (select seq from {tables.tasks} force index (ready) where queue = {text(queue)}"
        f" and token is null and seq <= {newest} limit {PURGED_AT_ONCE} for update skip locked) as chosen"
        f" straight_join {tables.tasks} as task force index (primary) on task.seq = chosen.seq",
    )
    return answer.affected


def check_size(message: Message, packet: int) -> None:
    """Raises DriverError if the server would not read a statement with this message."""
    needed = 2 * len(message.body) + 2048
    if needed > packet:
        raise DriverError(
            f"a body of {len(message.body)} bytes needs max_allowed_packet = {needed} at least, the server has {packet}"
        )

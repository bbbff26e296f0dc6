"""Dead letters, and counting."""

from __future__ import annotations

import os
from collections.abc import Sequence

from aiomysql import Connection

from ..message import DeadLetter, QueueStats
from .mysql_link import NOW, ask, text
from .mysql_tables import Tables

_COLUMNS = "id, queue, body, reason, error, detail, attempts, died_at / 1e6"


async def letters(
    connection: Connection, tables: Tables, queue: str, limit: int, after: str | None
) -> list[DeadLetter]:
    """Up to `limit`, the oldest first, behind `after`."""
    place = f"(select seq from {tables.dead} as earlier where queue = {text(queue)} and id = {text(after or '')})"
    (answer,) = await ask(
        connection,
        f"select {_COLUMNS} from {tables.dead} as letter"
        f" where queue = {text(queue)} and seq > coalesce({place}, 0) order by seq limit {max(0, limit)}",
    )
    return [DeadLetter(*row) for row in answer.rows]


async def letter(connection: Connection, tables: Tables, queue: str, id: str) -> DeadLetter | None:
    """One of them, or None."""
    (answer,) = await ask(
        connection, f"select {_COLUMNS} from {tables.dead} where queue = {text(queue)} and id = {text(id)}"
    )
    return DeadLetter(*answer.rows[0]) if answer.rows else None


async def requeue(connection: Connection, tables: Tables, queue: str, ids: Sequence[str]) -> list[str]:
    """Make them ready; return the ids that were moved."""
    if not ids:
        return []
    mark = -int.from_bytes(os.urandom(7)) - 1  # no time that ever was
    names = ", ".join(map(text, ids))
    answers = await ask(connection, tables.requeue.format(queue=text(queue), ids=names, mark=mark, now=NOW))
    return _in_order(ids, answers[-2].rows)


async def delete(connection: Connection, tables: Tables, queue: str, ids: Sequence[str]) -> list[str]:
    """Forget them; return the ids that were there."""
    if not ids:
        return []
    these = f"queue = {text(queue)} and id in ({', '.join(map(text, ids))})"
    answers = await ask(
        connection,
        f"start transaction; select id from {tables.dead} where {these} for update;"
        f" delete from {tables.dead} where {these}; commit",
    )
    return _in_order(ids, answers[1].rows)


async def stats(connection: Connection, tables: Tables, queue: str) -> QueueStats:
    """How many messages the queue holds; from the indexes alone."""
    of_queue = f"from {tables.tasks} force index (ready) where queue = {text(queue)}"
    (answer,) = await ask(
        connection,
        f"select (select count(*) {of_queue} and visible_at <= {NOW}), count(*) - count(token), count(token),"
        f" (select count(*) from {tables.dead} where queue = {text(queue)}) {of_queue} and visible_at > {NOW}",
    )
    return QueueStats(*answer.rows[0])


async def names(connection: Connection, tables: Tables) -> list[str]:
    """All queues that hold anything, sorted. `distinct` skips from name to name in the index."""
    (answer,) = await ask(
        connection,
        f"select distinct queue from {tables.tasks} union select distinct queue from {tables.dead} order by 1",
    )
    return [name for (name,) in answer.rows]


def _in_order(ids: Sequence[str], rows: Sequence[tuple[str]]) -> list[str]:
    """Those of `ids` that are in `rows`, in the order given, each once."""
    known = {id for (id,) in rows}
    return [id for id in dict.fromkeys(ids) if id in known]

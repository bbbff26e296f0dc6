"""Dead letters, and counting."""

from __future__ import annotations

from collections.abc import Sequence

from ..message import DeadLetter, QueueStats
from .postgres_link import Connection
from .postgres_tables import Tables

_COLUMNS = "id, queue, body, reason, error, detail, attempts, extract(epoch from died_at)::float8"


async def letters(
    connection: Connection, tables: Tables, queue: str, limit: int, after: str | None
) -> list[DeadLetter]:
    """Up to `limit`, the oldest first, behind `after`."""
    rows = await connection.fetch(
        f"""select {_COLUMNS} from {tables.dead}
        where queue = $1 and seq > coalesce((select seq from {tables.dead} where queue = $1 and id = $2), 0)
        order by seq limit $3""",
        queue,
        after,
        limit,
    )
    return [DeadLetter(*row) for row in rows]


async def letter(connection: Connection, tables: Tables, queue: str, id: str) -> DeadLetter | None:
    """One of them, or None."""
    row = await connection.fetchrow(f"select {_COLUMNS} from {tables.dead} where queue = $1 and id = $2", queue, id)
    return None if row is None else DeadLetter(*row)


async def requeue(connection: Connection, tables: Tables, queue: str, ids: Sequence[str]) -> list[str]:
    """Make them ready; return the ids that were moved. Sorted: two callers lock them in one order."""
    wanted = sorted(set(ids))
    return _in_order(ids, await connection.fetchval(tables.requeue, [queue] * len(wanted), wanted))


async def delete(connection: Connection, tables: Tables, queue: str, ids: Sequence[str]) -> list[str]:
    """Forget them; return the ids that were there."""
    rows = await connection.fetch(tables.delete, [queue] * len(ids), list(ids))
    return _in_order(ids, [id for (id,) in rows])


async def stats(connection: Connection, tables: Tables, queue: str) -> QueueStats:
    """How many messages the queue holds. The first and the last number come from an index alone."""
    row = await connection.fetchrow(
        f"""select
            (select count(*) from {tables.tasks} where queue = $1 and visible_at <= now()) as ready,
            count(*) filter (where token is null) as delayed,
            count(token) as leased,
            (select count(*) from {tables.dead} where queue = $1) as dead
        from {tables.tasks} where queue = $1 and visible_at > now()""",
        queue,
    )
    assert row is not None
    return QueueStats(**row)


async def names(connection: Connection, tables: Tables) -> list[str]:
    """All queues that hold anything, sorted. One probe per name: `distinct` would read every message."""
    steps = [
        f"""select * from (
            with recursive step (queue) as (
                (select queue from {table} order by queue limit 1)
                union all
                select (select queue from {table} where queue > step.queue order by queue limit 1)
                from step where step.queue is not null
            )
            select queue from step where queue is not null
        ) as found"""
        for table in (tables.tasks, tables.dead)
    ]
    rows = await connection.fetch(" union ".join(steps) + " order by 1")
    return [name for (name,) in rows]


def _in_order(ids: Sequence[str], found: Sequence[str]) -> list[str]:
    """Those of `ids` that are in `found`, in the order given, each once."""
    known = set(found)
    return [id for id in dict.fromkeys(ids) if id in known]

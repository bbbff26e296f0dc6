"""Dead letters, and counting, in SQL. What writes runs inside the writer's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from ..message import DeadLetter, QueueStats
from .sqlite_tasks import clock, earliest

_COLUMNS = "id, queue, body, reason, error, detail, attempts, died_at"

_CHOSEN = "queue = ? and id in (select value from json_each(?))"


def letters(connection: sqlite3.Connection, queue: str, limit: int, after: str | None) -> list[DeadLetter]:
    """Up to `limit`, the oldest first, behind `after`."""
    rows = connection.execute(
        f"""select {_COLUMNS} from dead_letter_queue
        where queue = ? and seq > coalesce((select seq from dead_letter_queue where queue = ? and id = ?), 0)
        order by seq limit ?""",
        (queue, queue, after, limit),
    )
    return [DeadLetter(*row) for row in rows]


def letter(connection: sqlite3.Connection, queue: str, id: str) -> DeadLetter | None:
    """One of them, or None."""
    sql = f"select {_COLUMNS} from dead_letter_queue where queue = ? and id = ?"
    row = connection.execute(sql, (queue, id)).fetchone()
    return None if row is None else DeadLetter(*row)


def requeue(connection: sqlite3.Connection, queue: str, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Make them ready; return the ids that were moved, and the queues to announce."""
    now = clock()
    moved = _ids(
        connection,
        f"select id from dead_letter_queue as dead where {_CHOSEN} and not exists"
        " (select 1 from task_queue as task where task.queue = dead.queue and task.id = dead.id)",
        queue,
        ids,
    )
    announced = [queue] if moved and earliest(connection, queue) > now else []
    connection.execute(
        "insert into task_queue (queue, id, body, visible_at)"
        f" select queue, id, body, ? from dead_letter_queue where {_CHOSEN} order by seq",
        (now, queue, json.dumps(moved)),
    )
    connection.execute(f"delete from dead_letter_queue where {_CHOSEN}", (queue, json.dumps(moved)))
    return moved, announced


def delete(connection: sqlite3.Connection, queue: str, ids: Sequence[str]) -> list[str]:
    """Forget them; return the ids that were there."""
    found = _ids(connection, f"select id from dead_letter_queue where {_CHOSEN}", queue, ids)
    connection.execute(f"delete from dead_letter_queue where {_CHOSEN}", (queue, json.dumps(found)))
    return found


def stats(connection: sqlite3.Connection, queue: str) -> QueueStats:
    """How many messages the queue holds. The first and the last number come from an index alone."""
    now = clock()
    (ready,) = connection.execute(
        "select count(*) from task_queue where queue = ? and visible_at <= ?", (queue, now)
    ).fetchone()
    later, leased = connection.execute(
        "select count(*), count(token) from task_queue where queue = ? and visible_at > ?", (queue, now)
    ).fetchone()
    (dead,) = connection.execute("select count(*) from dead_letter_queue where queue = ?", (queue,)).fetchone()
    return QueueStats(ready=ready, delayed=later - leased, leased=leased, dead=dead)


def names(connection: sqlite3.Connection) -> list[str]:
    """All queues that hold anything, sorted."""
    rows = connection.execute("select queue from task_queue union select queue from dead_letter_queue order by 1")
    return [name for (name,) in rows]


def _ids(connection: sqlite3.Connection, sql: str, queue: str, ids: Sequence[str]) -> list[str]:
    """Which of `ids` the statement finds, in the order given, each once."""
    found = {id for (id,) in connection.execute(sql, (queue, json.dumps(list(ids))))}
    return [id for id in dict.fromkeys(ids) if id in found]

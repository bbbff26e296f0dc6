"""The tables of the SQLite driver, as a list of migrations.

A row of `task_queue` is one message:

    ready     visible_at <= now              (token null, or the lease it names has ended)
    delayed   visible_at >  now, token null
    leased    visible_at >  now, token set

`visible_at` is unix time in microseconds. `seq` may come back when the newest message is done: a late outcome
of that one does not touch the next, since a lease is known by its token. To use no number twice (autoincrement)
would cost each enqueue another page, a sixth of its time; the tables of earlier versions did, and serve as well.

The version stands in a table of its own: the file may be the user's database, and so its
`user_version` is theirs.
"""

from __future__ import annotations

import sqlite3

from ..errors import ConfigurationError

TABLES = ("asyncdq_schema", "task_queue", "dead_letter_queue")

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "create table if not exists asyncdq_schema (version integer not null)",
        "insert into asyncdq_schema (version) select 0 where not exists (select 1 from asyncdq_schema)",
        """create table if not exists task_queue (
    seq integer primary key,
    queue text not null,
    id text not null,
    body blob not null,
    visible_at integer not null,
    attempt integer not null default 1,
    lost integer not null default 0,
    token integer,
    unique (queue, id)
)""",
        # SQLite ends every index entry with the row's seq: the claim's order needs no sorting.
        "create index if not exists task_queue_visible on task_queue (queue, visible_at)",
        """create table if not exists dead_letter_queue (
    seq integer primary key,
    queue text not null,
    id text not null,
    body blob not null,
    reason text not null,
    error text not null,
    detail text not null,
    attempts integer not null,
    died_at real not null,
    unique (queue, id)
)""",
    ),
)


def version(connection: sqlite3.Connection) -> int:
    """The schema's version, 0 if a table is missing. Raises `ConfigurationError` if it is newer than this release."""
    there = "select count(*) from sqlite_master where type = 'table' and name in (?, ?, ?)"
    if connection.execute(there, TABLES).fetchone()[0] < len(TABLES):
        return 0
    found: int = connection.execute("select version from asyncdq_schema").fetchone()[0]
    if found > len(MIGRATIONS):
        raise ConfigurationError(
            f"the database has schema version {found}, this asyncdq knows up to {len(MIGRATIONS)}: upgrade asyncdq"
        )
    return found


def pending(connection: sqlite3.Connection) -> list[str]:
    """The statements that make the schema current; empty when it is."""
    statements: list[str] = []
    for number in range(version(connection), len(MIGRATIONS)):
        statements += [*MIGRATIONS[number], f"update asyncdq_schema set version = {number + 1}"]
    return statements


def migrate(connection: sqlite3.Connection) -> None:
    """Run them, inside the caller's transaction."""
    for statement in pending(connection):
        connection.execute(statement)

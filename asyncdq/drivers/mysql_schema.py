"""The tables of the MySQL driver, as a list of migrations.

A row of the queue table is one message; times are whole microseconds of unix time, by the server's clock:

    ready     visible_at <= now     (token null, or the lease it names has ended)
    delayed   visible_at >  now, token null
    leased    visible_at >  now, token set; `taken_from` is the visible_at it had before

One time instead of a column of states: a lease that ends needs nobody to end it, and the claim is one probe of
one index. `seq`, the primary key, orders what is due at the same time. The token stands in the index so that
counting reads nothing else.

A statement of DDL commits by itself, so each can be run again; the version is written last. The versions stand
in a table of their own, one row per pair of tables: several may live in one database.
"""

from __future__ import annotations

from aiomysql import Connection

from ..errors import ConfigurationError, ConnectionLost
from .mysql_link import ask, text
from .mysql_tables import Tables

LOCK = "asyncdq_schema"
"""The server's lock under which tables are made: ten processes may do it at once."""

EXACT = "/*M! collate utf8mb4_nopad_bin */ /*!80017 collate utf8mb4_0900_bin */"
"""For names and ids. Under utf8mb4_bin, which is what the first releases of MySQL 8 have, 'a' and 'a ' are the same."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """create table if not exists {versions} (
    queue_table varchar(128) not null,
    dead_letter_table varchar(128) not null,
    version int not null,
    primary key (queue_table, dead_letter_table)
) engine = InnoDB character set ascii collate ascii_bin""",
        """create table if not exists {tasks} (
    seq bigint not null auto_increment primary key,
    queue varchar(64) {exact} not null,
    id varchar(128) {exact} not null,
    visible_at bigint not null,
    taken_from bigint,
    token bigint,
    attempt int not null default 1,
    lost int not null default 0,
    body longblob not null,
    unique key message (queue, id),
    key ready (queue, visible_at, seq, token)
) engine = InnoDB row_format = dynamic character set utf8mb4 collate utf8mb4_bin""",
        """create table if not exists {dead} (
    seq bigint not null auto_increment primary key,
    queue varchar(64) {exact} not null,
    id varchar(128) {exact} not null,
    body longblob not null,
    reason varchar(32) not null,
    error longtext not null,
    detail longtext not null,
    attempts int not null,
    died_at bigint not null,
    unique key message (queue, id),
    key age (queue, seq)
) engine = InnoDB row_format = dynamic character set utf8mb4 collate utf8mb4_bin""",
    ),
)


async def version(connection: Connection, tables: Tables) -> int:
    """The schema's version, 0 if there is none, or no queue. ConfigurationError if it is newer than this release."""
    schema = text(tables.schema) if tables.schema else "database()"
    wanted = "asyncdq_schema", tables.names[0].rpartition(".")[2]  # who has no right to a table is not told of it
    there = "select count(*) from information_schema.tables where table_schema = {} and table_name in ({})"
    (((count,),), _), *_ = await ask(connection, there.format(schema, ", ".join(map(text, wanted))))
    if count < len(wanted):
        return 0
    queue, dead = map(text, tables.names)
    own = f"select version from {tables.versions} where queue_table = {queue} and dead_letter_table = {dead}"
    (rows, _), *_ = await ask(connection, own)
    found: int = rows[0][0] if rows else 0
    if found > len(MIGRATIONS):
        raise ConfigurationError(
            f"the tables have schema version {found}, this asyncdq knows up to {len(MIGRATIONS)}: upgrade asyncdq"
        )
    return found


async def pending(connection: Connection, tables: Tables) -> list[str]:
    """The statements that make the schema current; empty when it is."""
    statements: list[str] = []
    for number in range(await version(connection, tables), len(MIGRATIONS)):
        statements += [f"{statement.format(exact=EXACT, **vars(tables))};" for statement in MIGRATIONS[number]]
        row = f"'{tables.names[0]}', '{tables.names[1]}', {number + 1}"
        statements.append(f"replace into {tables.versions} values ({row});")
    return statements


async def migrate(connection: Connection, tables: Tables, patience: float) -> None:
    """Run them when nobody else does, waiting for that up to `patience` seconds. Raises ConnectionLost."""
    (((got,),), _), *_ = await ask(connection, f"select get_lock('{LOCK}', {patience:g})")
    if not got:
        raise ConnectionLost("somebody else is making the tables, and takes long")
    try:
        for statement in await pending(connection, tables):
            await ask(connection, statement)
    finally:
        if not connection.closed:
            await ask(connection, f"do release_lock('{LOCK}')")

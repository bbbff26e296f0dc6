"""Where the server is, how a connection to it is opened, and how it is asked.

Statements are text, several in one round trip. Nothing is ever passed as a parameter: aiomysql 0.3.2 cannot
take bytes with PyMySQL 1.2.3 or newer, and a text that would need escaping is written in hexadecimal digits,
which mean the same in every sql_mode.
"""

from __future__ import annotations

import asyncio
import re
from functools import cached_property
from ssl import SSLContext
from typing import Any, NamedTuple

import aiomysql

from ..errors import ConfigurationError, ConnectionLost
from .mysql_address import Address
from .mysql_errors import FOREIGN, NO_ENCRYPTION, code_of, opening
from .transport import transport_of

OLDEST = {"MySQL": (8, 0, 1), "MariaDB": (10, 6, 0)}  # the first with "skip locked"

NOW = "timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))"
"""The server's clock in whole microseconds of unix time, at the begin of the statement. Unlike unix_timestamp() it
knows no time zone and does not end in 2038."""

# One trip. wait_timeout: a client that is frozen inside a transaction loses it. sql_notes: that a table is there
# already is no news. sql_select_limit and what follows it may be set for people at a terminal, and would lose rows.
# innodb_lock_wait_timeout, a second: who holds a row for longer may hold it for ever, and a settle then says so.
# What is in comments is for MariaDB, or for MySQL, alone; the threshold is the length from which a list would become a
# table, and the plan another, which reads and locks a small table whole.
_SESSION = """
set session transaction isolation level read committed;
set time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES', sql_notes = 0, autocommit = 1, wait_timeout = {idle},
    sql_select_limit = 18446744073709551615, sql_safe_updates = 0, sql_big_selects = 1, completion_type = 0,
    innodb_lock_wait_timeout = 1, lock_wait_timeout = {lock}
    /*M! , max_statement_time = {seconds}, in_predicate_conversion_threshold = 0 */
    /*!80000 , max_execution_time = {milliseconds} */;
select version(), @@max_allowed_packet;
show session status like 'Ssl_cipher'
"""

CAN_ENCRYPT = 0x800
"""CLIENT_SSL, among the capabilities in a server's greeting."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:-]*")


class _Quiet(aiomysql.Cursor):
    """Asks for no warnings: the question would throw away the answers that are still to come."""

    async def _show_warnings(self, conn: object) -> None:
        """Nothing of ours is worth a warning: what the server cannot store as it is, is an error."""


class Answer(NamedTuple):
    """What the server says to one statement."""

    rows: list[tuple[Any, ...]]
    affected: int


class Link:
    """Opens connections. `timeout` is that of a call; the server gives up a little sooner, so that nothing
    is committed after the caller was told that its fate is unknown. Of the server it learns the longest `packet` in
    bytes, and whether a `returning` tells what a delete has deleted."""

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self.packet = 0
        self.returning = False
        self._plain = address.ssl_mode == "disabled" or "unix_socket" in address.options

    @property
    def idle(self) -> float:
        """Seconds after which an unused connection is no longer trusted; the server ends it at twice that."""
        return 30.0

    async def open(self) -> aiomysql.Connection:
        """A connection. Raises ConfigurationError for what waiting does not mend, else ConnectionLost."""
        try:
            async with asyncio.timeout(min(5.0, self.timeout)):
                if self._plain or self.address.ssl_mode != "preferred":
                    return await self._open(self._plain)
                return await self._prefer_encryption()
        except FOREIGN as error:
            raise opening(error, self.address.where) from None  # its text, or a cause's, may hold a password

    async def reopen(self) -> aiomysql.Connection:
        """A connection to a server that has worked before: whatever it refuses now, it may accept again."""
        try:
            return await self.open()
        except ConfigurationError as error:
            raise ConnectionLost(str(error)) from None

    async def _prefer_encryption(self) -> aiomysql.Connection:
        try:
            return await self._open(False)
        except aiomysql.OperationalError as error:
            if code_of(error) not in NO_ENCRYPTION:
                raise
        connection = await self._open(True)
        # One that knows no encryption is not asked for it again; the other has only hung up once.
        self._plain = not getattr(connection, "server_capabilities", 0) & CAN_ENCRYPT
        return connection

    async def _open(self, plain: bool) -> aiomysql.Connection:
        address = self.address
        connection = await aiomysql.connect(
            address.host,
            address.user or None,
            address.password.encode().decode("latin-1"),  # as which aiomysql encodes it; servers expect UTF-8
            address.database,
            address.port,
            address.options.get("unix_socket"),
            "utf8mb4",
            autocommit=None,
            ssl=None if plain else self._encryption,
            program_name="asyncdq",
        )
        transport = transport_of(connection)
        try:
            *_, (((version, self.packet),), _), (((_, cipher),), _) = await ask(connection, self._session())
            self._check(version, cipher)
        except BaseException:
            cut(connection, transport)
            raise
        return connection

    @cached_property
    def _encryption(self) -> SSLContext:
        return self.address.ssl_context()

    def _session(self) -> str:
        seconds = self.timeout * 0.75
        return _SESSION.format(
            idle=int(self.idle * 2),
            lock=max(1, int(self.timeout / 4)),
            seconds=max(0.05, seconds),
            milliseconds=max(50, int(seconds * 1000)),
        )

    def _check(self, version: str, cipher: str) -> None:
        """Raises ConfigurationError for a server that cannot serve us."""
        product = "MariaDB" if "mariadb" in version.lower() else "MySQL"
        if numbers(version) < OLDEST[product]:
            oldest = ".".join(map(str, OLDEST[product]))
            raise ConfigurationError(f"{self.address.where} is {product} {version}; asyncdq needs {oldest} or newer")
        self.returning = product == "MariaDB"
        if not cipher and self.address.ssl_mode not in ("disabled", "preferred") and not self._plain:
            raise ConfigurationError(f"{self.address.where}: no encrypted connection: check ssl_mode")


def numbers(version: str) -> tuple[int, ...]:
    """10.11.19-MariaDB as (10, 11, 19)."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version.partition("-")[0])[:3])


def text(value: str) -> str:
    """A literal for this text: as it is where nothing in it means anything, else in hexadecimal digits.

    Both with the name of the character set: without, its collation would be another in MySQL, and a union refuse them.
    """
    return f"_utf8mb4 '{value}'" if _PLAIN.fullmatch(value) else f"_utf8mb4 x'{value.encode().hex()}'"


def cut(connection: aiomysql.Connection, transport: Any) -> None:
    """Close abruptly: an encrypted one would wait until the server agrees. aiomysql may have dropped `transport`."""
    connection.close()
    if transport is not None:
        transport.abort()


async def ask(connection: aiomysql.Connection, statements: str) -> list[Answer]:
    """One round trip: the answers, one for each statement."""
    cursor = await connection.cursor(_Quiet)
    await cursor.execute(statements)
    answers = [Answer(list(await cursor.fetchall()), cursor.rowcount)]
    while await cursor.nextset():
        answers.append(Answer(list(await cursor.fetchall()), cursor.rowcount))
    return answers

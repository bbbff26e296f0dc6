"""Where the server is, and how a connection to it is opened; also through PgBouncer.

A pooler in transaction mode gives each transaction another server connection. So there are no prepared
statements, no session settings (and with them no statement timeout) and no LISTEN. It is recognized by
either of two signs: it refuses a startup parameter, or the process that answers is not the one that it
presented when the connection was opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

import asyncpg

from ..errors import ConfigurationError, ConnectionLost
from .postgres_address import Address
from .postgres_errors import FOREIGN, opening

T = TypeVar("T")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

OLDEST = 12  # "as materialized", and meeting rows by their place in a join

PLANNING: Mapping[str, str] = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
"""Every statement of ours has an index to go by, in its order, and one shape for any parameters. A plan is kept with
a connection, and one that was made while the table was empty would read the whole of it later. Left to itself the
server plans a settle anew each time, which takes as long as running it; compiling takes longer."""


AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InternalClientError)
"""What leads on to the next host: it cannot be reached, hangs up, starts or shuts down."""

WRITABLE = "not current_setting('transaction_read_only')::bool"
"""What a server says of itself: false on a standby, and where default_transaction_read_only is on."""


class Link:
    """Opens connections. `timeout` is that of a call; the server gives up a little sooner, so that nothing
    is committed after the caller was told that its fate is unknown. `pooled`: behind a pooler; None: find out."""

    def __init__(self, address: Address, timeout: float, pooled: bool | None) -> None:
        self.address = address
        self.timeout = timeout
        self.pooled = pooled

    async def open(self) -> Connection:
        """A connection. Raises ConfigurationError for what waiting does not mend, else ConnectionLost."""
        try:
            connection = await (self._probe() if self.pooled is None else self._connect(self.pooled))
        except FOREIGN as error:
            raise opening(error, self.address.where) from None  # its text, or a cause's, may hold a password
        self._check(connection)
        return connection

    async def reopen(self) -> Connection:
        """A connection to a server that has worked before: whatever it refuses now, it may accept again."""
        try:
            return await self.open()
        except ConfigurationError as error:
            raise ConnectionLost(str(error)) from None

    async def _probe(self) -> Connection:
        """The first connection, which shows whether a pooler stands between."""
        try:
            connection = await self._connect(False)
        except asyncpg.ProtocolViolationError as error:
            if not _names_a_parameter(error):
                raise
            self.pooled = True
            return await self._connect(True)
        answering = 0
        try:
            answering = await bounded(connection, self.timeout, connection.fetchval("select pg_backend_pid()"))
        finally:
            if not answering:
                connection.terminate()
        self.pooled = answering != connection.get_server_pid()
        if self.pooled:
            await connection.close(timeout=self.timeout)
            return await self._connect(True)
        return connection

    async def _connect(self, pooled: bool) -> Connection:
        """To the first host that will do; one by one, for in asyncpg a silent one uses up the time of all."""
        address = self.address
        share = min(5.0, self.timeout) / len(address.dsns)
        connect = partial(
            asyncpg.connect, user=address.user, password=address.password, timeout=share, **self._options(pooled)
        )
        unfit, reason = False, ""
        for number, dsn in enumerate(address.dsns, 1):
            try:
                connection = await connect(dsn)
                if not address.chooses or await _can_be_written(connection, share):
                    return connection
                unfit = True
            except asyncpg.TargetServerAttributeNotMatched:
                unfit = True
            except AWAY as error:
                if _names_a_parameter(error) or (number == len(address.dsns) and not unfit):
                    raise
                reason = f"; of another: {' '.join(str(error).split()) or type(error).__name__}"
        wish = "can be written: standbys, or read-only" if address.chooses else "is what target_session_attrs asks for"
        raise ConnectionLost(f"{address.where}: none of these hosts {wish}{reason}")

    def _options(self, pooled: bool) -> dict[str, Any]:
        settings = {} if "application_name" in self.address.options else {"application_name": "asyncdq"}
        if pooled:
            return {"server_settings": settings, "statement_cache_size": 0}
        settings |= {
            "statement_timeout": str(max(1, int(self.timeout * 750))),
            "default_transaction_isolation": "read committed",
            **PLANNING,
        }
        # For ever: nobody can tell when one would be prepared anew.
        return {"server_settings": settings, "max_cached_statement_lifetime": 0}

    def _check(self, connection: Connection) -> None:
        """Raises ConfigurationError for a server that cannot serve us."""
        problem = ""
        if connection.get_server_version().major < OLDEST:
            problem = f"has version {connection.get_server_version().major}; asyncdq needs {OLDEST} or newer"
        elif connection.get_settings().server_encoding != "UTF8":
            problem = "holds this database in another encoding than UTF8: create one with encoding 'UTF8'"
        if problem:
            connection.terminate()
            self.pooled = None
            raise ConfigurationError(f"{self.address.where} {problem}")


def _names_a_parameter(error: Exception) -> bool:
    """Whether it is a pooler that refuses a startup parameter."""
    return isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error)


async def _can_be_written(connection: Connection, timeout: float) -> bool:
    """Whether the server takes writes. If not, or if it does not say so within `timeout`, the connection is cut.

    It is asked, for PgBouncer greets everybody with what the first server said that it met: before a failover.
    """
    found = False
    try:
        found = await bounded(connection, timeout, connection.fetchval(f"select {WRITABLE}"))
        return found
    finally:
        if not found:
            connection.terminate()


async def bounded(connection: Connection, timeout: float, answer: Awaitable[T]) -> T:
    """The answer; after `timeout` seconds the connection is cut, and so the wait for it.

    Cancelling the wait instead would make asyncpg ask the server, which does not answer, to cancel.
    """
    timer = asyncio.get_running_loop().call_later(timeout, connection.terminate)
    try:
        return await answer
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if timer.when() <= asyncio.get_running_loop().time():
            raise TimeoutError(f"no answer within {timeout:g} s") from error
        raise
    finally:
        timer.cancel()

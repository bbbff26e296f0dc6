"""The one place where errors of asyncpg become ours. No text of ours repeats a DSN: it may hold a password."""

from __future__ import annotations

import socket
import ssl

import asyncpg

from ..errors import AsyncdqError, ConfigurationError, ConnectionLost, DriverError

FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError)
"""What asyncpg raises: its own errors, those of the socket, and of values that it cannot encode.

InternalClientError is what a statement gets whose session was ended by the server a moment ago."""

LOCKED = asyncpg.LockNotAvailableError
"""Somebody keeps a row locked for longer than lock_timeout."""

TRY_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, LOCKED)
"""The statement had no effect, and the same one may succeed at once."""

_WRONG = {
    "28": "check the user and the password in the DSN, and pg_hba.conf",
    "3D": "create the database, or name another one in the DSN",
    "42501": "grant what is named here to the user of the DSN, or check the parameters in it",
    "42": "asyncdq needs PostgreSQL 12 or newer; check the parameters in the DSN",
    "22": "check the parameters in the DSN",
}
"""What waiting does not mend, by the error's code or the first two characters of it."""

_DATABASE = "CheckMyDatabase"
"""Where in the server it is the database that is denied, and no parameter: its words depend on its language."""

_MENDS = ("08", "53", "57", "58")
"""Lost connections; out of memory, disk or connections; cancelled or shutting down; trouble of the machine."""

_CUT = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, *TRY_AGAIN)


def opening(error: Exception, where: str) -> AsyncdqError:
    """What an error means that came while a connection was opened."""
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, asyncpg.PostgresError) and (advice := _WRONG.get(code) or _WRONG.get(code[:2])):
        if code == "42501" and getattr(error, "server_source_function", None) == _DATABASE:
            advice = "grant CONNECT on the database to the user of the DSN"
        return ConfigurationError(f"{where} refuses the connection: {_said(error)}; {advice}")
    if isinstance(error, socket.gaierror):
        return ConnectionLost(f"{where}: the host's name cannot be found: {error.strerror}")
    if isinstance(error, ssl.SSLError) or "rejected SSL upgrade" in str(error):
        return ConfigurationError(f"{where}: no encrypted connection: {error}; check sslmode and the certificates")
    if isinstance(error, TimeoutError):
        return ConnectionLost(f"{where} does not answer")
    if isinstance(error, OSError):
        return ConnectionLost(f"cannot connect to {where}: {error.strerror or 'connection failed'}")
    if isinstance(error, (asyncpg.InterfaceError, ValueError)):
        # Not repeated: what asyncpg says of a DSN that it misreads may be a part of the password.
        return ConfigurationError(
            "the DSN cannot be read: use postgresql://user:password@host:5432/database?key=value,"
            " with special characters as %XX"
        )
    return ConnectionLost(f"cannot connect to {where}: {_said(error)}")


def refused(error: Exception, where: str) -> DriverError:
    """What an error means that came as the answer to a statement."""
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)):
        return DriverError(f"{where}: {_said(error)}: run `asyncdq migrate`, or check the names of the tables")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return DriverError(f"{where}: {_said(error)}: grant it to the user of the DSN")
    if isinstance(error, asyncpg.QueryCanceledError):
        return ConnectionLost(f"{where}: {_said(error)}")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return ConnectionLost(f"{where} is read-only, as a standby is: {_said(error)}")
    if isinstance(error, asyncpg.DataError):
        return DriverError(f"PostgreSQL cannot store this value: {_said(error)}")
    if code[:2] in _MENDS or isinstance(error, _CUT):
        return ConnectionLost(f"lost the connection to {where}: {_said(error)}")
    return DriverError(f"{where} refused: {_said(error)}")


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

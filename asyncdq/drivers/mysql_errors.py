"""The one place where errors of aiomysql become ours. No text of ours repeats a DSN: it may hold a password."""

from __future__ import annotations

import socket
import ssl
import struct

import aiomysql

from ..errors import AsyncdqError, ConfigurationError, ConnectionLost, DriverError

TORN = (RuntimeError, AssertionError, struct.error, IndexError)
"""What aiomysql raises of packets that it did not expect."""

FOREIGN = (aiomysql.MySQLError, OSError, ValueError, *TORN)
"""What aiomysql raises: its own errors, those of the socket, of values that it cannot encode, and of packets."""

DUPLICATE = 1062

LOCKED = 1205
"""Somebody keeps a lock for longer than innodb_lock_wait_timeout."""

TRY_AGAIN = (1213, LOCKED, 1467, 1020, 3101)
"""Deadlock, and a lock that was not to be had; the same of the lock on auto_increment; of MariaDB's snapshots, and of
MySQL's groups. Once rolled back there was no effect, and it may succeed at once."""

_REFUSED = {
    1044: "grant the database to this user",
    1045: "check the user and the password in the DSN",
    1698: "check the user and the password in the DSN",
    1049: "create the database, or name another one in the DSN",
    1130: "create the user for this host",
    1251: "give the user another authentication plugin, or encrypt: ssl_mode=required",
    2059: "give the user another authentication plugin",
    1064: "asyncdq needs MySQL 8.0.1 or MariaDB 10.6 or newer",
    1193: "asyncdq needs MySQL 8.0.1 or MariaDB 10.6 or newer",
    3159: "encrypt: ssl_mode=required",
}
"""What waiting does not mend, of what comes while a connection is opened."""

NO_ENCRYPTION = (1043, 2013)
"""What comes of asking a server to encrypt that cannot: a bad handshake, or the end of the connection."""

_MISSING = (1146, 1054, 1049)
_FORBIDDEN = (1044, 1142, 1143, 1227, 1370)
_VALUE = (1264, 1265, 1292, 1300, 1366, 1406, 3854)
_READ_ONLY = (1290, 1792, 1836)
_CUT = (
    *TRY_AGAIN,  # still so after all tries
    *(1317, 1969, 3024, 1907),  # ended by a timeout of the server's, or by an administrator
    *(1040, 1203, 1226),  # too many connections
    1047,  # a node of Galera that is outside of its cluster
    *(1053, 1077, 1080, 1927, 3169, 4031, 1152, 1158, 1159, 1160, 1161),  # ended, or shutting down
    *(1021, 1041, 1114, 1037, 1038),  # out of disk or memory
    *(2002, 2003, 2006, 2013, 2014, 2055),  # the client's own words for a connection that is no more
)


def code_of(error: BaseException) -> int:
    """The number of the server's error, or the client's; 0 if it has none."""
    first = error.args[0] if isinstance(error, aiomysql.MySQLError) and error.args else 0
    return first if isinstance(first, int) else 0


def opening(error: Exception, where: str) -> AsyncdqError:
    """What an error means that came while a connection was opened."""
    cause = error.__cause__ or error
    if advice := _REFUSED.get(code_of(error)):
        return ConfigurationError(f"{where} refuses the connection: {said(error)}; {advice}")
    if isinstance(cause, ssl.SSLError):
        return ConfigurationError(
            f"{where}: no encrypted connection: {said(cause)}; check ssl_mode and the certificates"
        )
    if code_of(error) == NO_ENCRYPTION[0]:
        return ConfigurationError(f"{where}: {said(error)}; it may not know encryption: check ssl_mode")
    if "cryptography" in str(error):
        return ConfigurationError(
            f"{where}: the password may only travel encrypted: use ssl_mode=required, or pip install cryptography"
        )
    if isinstance(cause, socket.gaierror):
        return ConnectionLost(f"{where}: the host's name cannot be found: {cause.strerror}")
    if isinstance(cause, TimeoutError):
        return ConnectionLost(f"{where} does not answer")
    if isinstance(cause, OSError):
        return ConnectionLost(f"cannot connect to {where}: {cause.strerror or 'connection failed'}")
    return ConnectionLost(f"cannot connect to {where}: {said(error)}")


def refused(error: Exception, where: str) -> DriverError:
    """What an error means that came as the answer to a statement."""
    code = code_of(error)
    if code in _MISSING:
        return DriverError(f"{where}: {said(error)}: run `asyncdq migrate`, or check the names of the tables")
    if code in _FORBIDDEN:
        return DriverError(f"{where}: {said(error)}: grant it to the user of the DSN")
    if code in _READ_ONLY:
        return ConnectionLost(f"{where} is read-only, as a replica is: {said(error)}")
    if code in _VALUE or isinstance(error, UnicodeError):
        return DriverError(f"MySQL cannot store this value: {said(error)}")
    if code in _CUT or isinstance(error, (OSError, aiomysql.InterfaceError, *TORN)):
        return ConnectionLost(f"lost the connection to {where}: {said(error)}")
    return DriverError(f"{where} refused: {said(error)}")


def said(error: BaseException) -> str:
    """Its text on one line."""
    text = error.args[1] if code_of(error) and len(error.args) > 1 else error
    return " ".join(str(text).split()) or type(error).__name__

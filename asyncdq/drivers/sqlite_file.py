"""The database file: opening it, noticing that it is gone, and saying what went wrong with it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from ..errors import AsyncdqError, ConfigurationError, ConnectionLost, DriverError

BUSY_TIMEOUT = 10.0
"""Seconds that a call waits for a lock which another process holds."""

_WAL_LIMIT = 64 * 2**20
"""Bytes: a larger write-ahead log is cut back when it has been copied into the database."""

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process held its write lock for {timeout:g} s{holders}: end that transaction",
    sqlite3.SQLITE_LOCKED: "one of its tables is locked{holders}: end that transaction",
    sqlite3.SQLITE_PROTOCOL: "its locks do not work: keep it on a local disk, not on a network share",
    sqlite3.SQLITE_READONLY: "it cannot be written: make the file and its directory writable for this user",
    sqlite3.SQLITE_IOERR: "the disk reports an error: see the system's log",
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: its directory must exist and be writable, and descriptors be left",
}
"""What a later try may find mended, and how to mend it."""

_UNUSABLE = {
    sqlite3.SQLITE_CANTOPEN: "its directory must exist and be writable for this user, and it must be a file",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable for this user",
    sqlite3.SQLITE_PERM: "make the file and its directory writable for this user",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database: choose another path",
}
"""Why a file cannot be used at all: waiting mends none of these."""


class DatabaseFile:
    """One SQLite database on disk, or in memory: then every connection is a database of its own."""

    def __init__(self, path: Path | None, synchronous: str) -> None:
        self.path = path
        self._synchronous = synchronous
        self._known = False

    def __str__(self) -> str:
        return str(self.path or ":memory:")

    def open(self) -> sqlite3.Connection:
        """One more connection.

        The first may make the file; `ConfigurationError` if it can never work. Later ones make none:
        `ConnectionLost` if it is gone.
        """
        first = not self._known
        try:
            return self._open("rwc" if first else "rw")
        except sqlite3.Error as error:
            raise (self._refusal(error) if first else self.explain(error)) from error

    def identity(self) -> tuple[int, int] | None:
        """Which file the path names now; None if there is none, or it is in memory."""
        if self.path is None:
            return None
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def explain(self, error: Exception) -> AsyncdqError:
        """The error of ours that stands for this one, with what to do about it."""
        if isinstance(error, AsyncdqError):
            return error
        if not isinstance(error, sqlite3.Error):
            return DriverError(f"SQLite cannot store this: {error}")
        if self.path is not None and _is_missing(self.path):
            return ConnectionLost(f"database {self} is gone: put it back, or connect again to begin with a new one")
        remedy = _REMEDIES.get(_code(error))
        if remedy:
            text = remedy.format(timeout=BUSY_TIMEOUT, holders=self._holders())
            return ConnectionLost(f"database {self}: {text} ({error})")
        if str(error).startswith("no such table"):
            return DriverError(f"database {self} has no tables of asyncdq: run `asyncdq migrate` or driver.setup()")
        return DriverError(f"database {self}: {error}")

    def _refusal(self, error: sqlite3.Error) -> AsyncdqError:
        remedy = _UNUSABLE.get(_code(error))
        if remedy is None:
            return self.explain(error)
        if self.path is not None and _is_missing(self.path.parent):
            remedy = f"create the directory {self.path.parent}"
        return ConfigurationError(f"cannot use {self} as the database: {remedy} ({error})")

    def _open(self, mode: str) -> sqlite3.Connection:
        target = f"file:{quote(os.fsencode(self.path))}?mode={mode}" if self.path else ":memory:"
        connection = sqlite3.connect(
            target, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT, check_same_thread=False
        )
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _configure(self, connection: sqlite3.Connection) -> None:
        if self.path is not None:
            _use_wal(connection)
            self._known = True
        connection.execute(f"pragma synchronous = {self._synchronous}")
        connection.execute(f"pragma journal_size_limit = {_WAL_LIMIT}")

    def _holders(self) -> str:
        """Who holds a write lock on the log's index, where the system tells (Linux)."""
        with suppress(OSError, ValueError):
            inode = str(os.stat(f"{self}-shm").st_ino)
            locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
            pids = {lock[4] for lock in locks if lock[3] == "WRITE" and lock[5].endswith(f":{inode}")}
            others = sorted(pids - {str(os.getpid())})
            return f" (process {', '.join(others)})" if others else ""
        return ""


def _is_missing(path: Path) -> bool:
    """Whether there is nothing. Where that cannot be seen, as behind a folder that is closed to us, it is not said."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _code(error: sqlite3.Error) -> int:
    extended: int = getattr(error, "sqlite_errorcode", 0)  # absent from errors of the Python module itself
    return extended & 0xFF


def _use_wal(connection: sqlite3.Connection) -> None:
    # The switch to WAL does not wait for the others that switch at the same moment: busy timeouts do not apply.
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            (mode,) = connection.execute("pragma journal_mode = wal").fetchone()
            break
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
    if mode != "wal":
        raise ConfigurationError("SQLite cannot keep a write-ahead log there: move the database to a local disk")

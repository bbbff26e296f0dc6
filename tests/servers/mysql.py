"""MariaDB, or MySQL in a container: one process."""

from __future__ import annotations

import asyncio
import os
import pwd
import shlex
import shutil
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from .kind import Kind

if TYPE_CHECKING:
    import aiomysql

NAME = "asyncdq"
"""The database, and root's password."""

# A statement per line: this is read where a server is bootstrapped, and there only after `flush` are there accounts.
ACCOUNT = f"""\
flush privileges;
create database {NAME};
create or replace user root@'127.0.0.1' identified by '{NAME}';
grant all on *.* to root@'127.0.0.1' with grant option;
"""

OF_THE_SERVER = ("mysql", "information_schema", "performance_schema", "sys")


class MySQL(Kind):
    """Runs with fsync, as production does; as root it runs as the user `mysql`."""

    name = "mysql"
    variable = "ASYNCDQ_TEST_MYSQL_DSN"
    package = "mariadb-server"
    image = "mysql:8"
    port = 3306
    environment = {"MYSQL_ROOT_PASSWORD": NAME, "MYSQL_USER": NAME, "MYSQL_PASSWORD": NAME, "MYSQL_DATABASE": NAME}

    def url(self, port: int) -> str:
        return f"mysql://root:{NAME}@127.0.0.1:{port}/{NAME}"

    def program(self) -> Path | None:
        # MySQL's own mysqld would need another preparation: it is tested in its container.
        found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        return Path(found) if found else None

    def preparation(self, data: Path) -> Sequence[list[str]]:
        install = [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]
        bootstrap = [str(self.program()), "--no-defaults", f"--datadir={data}", f"--tmpdir={data}", "--bootstrap"]
        return [install, ["sh", "-c", f"echo {shlex.quote(ACCOUNT)} | {shlex.join(bootstrap)}"]]

    def command(self, data: Path, port: int) -> list[str]:
        options = {
            "datadir": str(data),
            "tmpdir": str(data),  # of its own: a server that starts removes the temporary tables that it finds
            "port": f"{port}",
            "bind-address": "127.0.0.1",
            "socket": str(data / "socket"),
            "pid-file": str(data / "pid"),
            "skip-name-resolve": "1",
            "innodb-use-native-aio": "0",  # not known to file systems in memory
            "innodb-flush-method": "fsync",  # likewise
            "max-connect-errors": "1000000",  # those who only look whether it answers count as such
        }
        return [str(self.program()), "--no-defaults", *(f"--{name}={value}" for name, value in options.items())]

    def answers(self, port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(5)[4:] == b"\x0a"  # the version of the protocol; an error packet has 0xff there

    def empty(self, url: str) -> None:
        # In a thread, because whoever calls this may be inside an event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _empty(url)).result()

    def guest(self, url: str, password: str) -> str:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _invite(url, password)).result()
        return "guest"

    def user(self) -> str | None:
        if os.getuid() != 0:
            return None
        users = {entry.pw_name for entry in pwd.getpwall()}
        return "mysql" if "mysql" in users else "nobody"


def _connecting(url: str) -> AbstractAsyncContextManager[aiomysql.Connection]:
    import aiomysql  # here: a session without MySQL does not need the library

    at = urlsplit(url)
    return aiomysql.connect(
        at.hostname or "localhost", at.username, unquote(at.password or ""), port=at.port or 3306, connect_timeout=10
    )


async def _invite(url: str, password: str) -> None:
    """There is a guest with this password, who may do all."""
    async with _connecting(url) as connection, connection.cursor() as cursor:
        await cursor.execute("create or replace user guest@'%%' identified by %s", (password,))
        await cursor.execute("grant all on *.* to guest@'%'")


async def _empty(url: str) -> None:
    """Nobody is connected, and there is no database but ours, with nothing in it."""
    import aiomysql

    async with _connecting(url) as connection, connection.cursor() as cursor:
        await cursor.execute(
            "select id from information_schema.processlist"
            " where id <> connection_id() and user = substring_index(user(), '@', 1)"
        )
        for (id,) in await cursor.fetchall():
            try:
                await cursor.execute(f"kill {id}")
            except aiomysql.OperationalError:  # it has left by itself
                continue
        await cursor.execute("show databases")
        for (name,) in await cursor.fetchall():
            if name not in OF_THE_SERVER:
                await cursor.execute(f"drop database `{name}`")
        await cursor.execute(f"create database `{urlsplit(url).path[1:]}`")

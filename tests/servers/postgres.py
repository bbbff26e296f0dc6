"""PostgreSQL: a postmaster and its children, each in a process group of its own."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import Signals

from .kind import Kind

GUEST = "guest"

NAME = "asyncdq"
"""User, password and database: those of the default DSN."""

# What the old tests' tables were in, and the rest of a database that a driver could have left something in.
EMPTY = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid();
do $$
declare name text;
begin
    for name in select nspname from pg_namespace where nspname !~ '^(pg_|information_schema$)' loop
        execute format('drop schema %I cascade', name);
    end loop;
end $$;
create schema public;
"""


class Postgres(Kind):
    """Runs with fsync, as production does; as root it runs as the user `postgres`."""

    name = "postgres"
    variable = "ASYNCDQ_TEST_POSTGRES_DSN"
    package = "postgresql"
    image = "postgres:16"
    port = 5432
    environment = {"POSTGRES_USER": NAME, "POSTGRES_PASSWORD": NAME, "POSTGRES_DB": NAME}
    stop_signal = Signals.SIGINT  # ends its clients' sessions; SIGTERM would wait for them to leave

    def url(self, port: int) -> str:
        return f"postgresql://{NAME}:{NAME}@127.0.0.1:{port}/{NAME}"

    def program(self) -> Path | None:
        versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")  # Debian's, which is not on PATH
        newest = max(versions, key=lambda path: float(path.parts[4]), default=None)
        found = shutil.which("postgres")
        return newest or (Path(found) if found else None)

    def preparation(self, data: Path) -> Sequence[list[str]]:
        program = self.program()
        assert program
        cluster = ["-D", str(data), "-U", NAME, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        database = f"echo 'create database {NAME}' | '{program}' --single -D '{data}' -c fsync=off postgres"
        # Whoever we are comes in without a password, and a guest with his.
        guests = f"sed -i '1i host all {GUEST} 127.0.0.1/32 scram-sha-256' '{data}/pg_hba.conf'"
        return [[str(program.with_name("initdb")), *cluster], ["sh", "-c", database], ["sh", "-c", guests]]

    def command(self, data: Path, port: int) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on",
            "recovery_init_sync_method": "syncfs",  # file by file, a start after a kill takes 2 s longer
            "dynamic_shared_memory_type": "mmap",  # in the data folder: a killed server leaves it behind
            "max_wal_size": "256MB",
        }
        settings = [f"--{name}={value}" for name, value in options.items()]
        return [str(self.program()), "-D", str(data), "-p", f"{port}", *settings]

    def answers(self, port: int) -> bool:
        parameters = f"user\0{NAME}\0database\0postgres\0\0".encode()
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)  # protocol 3.0
            return connection.recv(1) == b"R"  # it asks who we are; while it starts it answers E

    def empty(self, url: str) -> None:
        # In a thread, because whoever calls this may be inside an event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _execute(url, EMPTY)).result()

    def guest(self, url: str, password: str) -> str:
        literal = password.replace("'", "''")
        statements = f"drop role if exists {GUEST}; create role {GUEST} superuser login password '{literal}'"
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _execute(url, statements)).result()
        return GUEST

    def user(self) -> str | None:
        if os.getuid() != 0:
            return None
        users = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in users else "nobody"

    def bury(self, data: Path) -> None:
        lock = data / "postmaster.pid"
        if lock.exists() and len(lines := lock.read_text().splitlines()) > 6 and lines[6].strip():
            segment = lines[6].split()[1]  # the key and the id of its System V shared memory
            subprocess.run(["ipcrm", "-m", segment], stderr=subprocess.DEVNULL, check=False)


async def _execute(url: str, statements: str) -> None:
    import asyncpg  # here: a session without PostgreSQL does not need the library

    connection = await asyncpg.connect(url, timeout=10, command_timeout=30)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()

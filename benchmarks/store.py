"""Where the tasks are: a private server per driver, or a folder of SQLite files; new for each measurement."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import secrets
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil

from tests.servers import KINDS, Server, private
from tests.servers.folder import BASE, processes_in
from tests.servers.rabbitmq import control

DURABILITY = {
    "redis": "appendonly yes, appendfsync everysec",
    "postgres": "fsync on, synchronous_commit on, max_wal_size 256 MB",
    "sqlite": "WAL, synchronous=normal",
    "rabbitmq": "quorum queues, durable classic ones where a contender has no others",
    "mysql": "innodb_flush_log_at_trx_commit 1",
    "sqs": "the emulator ministack keeps messages in memory",
}

DELETE_QUEUES = '[rabbit_amqqueue:delete(Q, false, false, <<"bench">>) || Q <- rabbit_amqqueue:list()].'


class Store:
    """One driver's."""

    def __init__(self, driver: str, folder: Path, server: Server | None) -> None:
        self.driver = driver
        self.durability = DURABILITY[driver]
        self._folder, self._server, self._number = folder, server, itertools.count()

    def fresh(self) -> str:
        """The URL of an empty store."""
        if self._server is None:
            return f"sqlite://{self._folder}/{next(self._number)}.db"
        if self.driver == "rabbitmq":
            control(self._server.url, "eval", DELETE_QUEUES)
        elif self.driver == "sqs":
            return f"{self._server.url}&prefix={secrets.token_hex(4)}-"
        else:
            self._server.empty()
        return self._server.url

    def processes(self) -> list[psutil.Process]:
        """The server's."""
        if self._server is None:
            return []
        folders = BASE.glob(f"{self.driver}.{os.getpid()}.*")
        return [process for folder in folders for process in processes_in(folder)]

    def commands(self, seconds: float) -> float | None:
        """How many a minute the server executes from now on; None where it does not tell. Takes that long."""
        if self._server is None or self.driver not in COUNTERS:
            time.sleep(seconds)  # as long as where it tells
            return None
        count: float = asyncio.run(COUNTERS[self.driver](self._server.url, seconds))
        return count / seconds * 60

    def version(self) -> str:
        """As its program calls itself."""
        if self._server is None:
            return f"SQLite {sqlite3.sqlite_version}"
        program = KINDS[self.driver].program()
        if program is None:
            return f"`{KINDS[self.driver].image}`"
        told = str(program)  # RabbitMQ's does not say it, and is in a folder that does
        if self.driver != "rabbitmq":
            pip = [f"{program.with_name('pip')}", "show", program.name]  # the emulator does not say it either
            asked = pip if self.driver == "sqs" else [f"{program}", "--version"]
            told = subprocess.run(asked, capture_output=True, text=True, timeout=30).stdout
        number = re.search(r"\d+(\.\d+)+", told)
        return f"{program.name} {number[0] if number else '(version unknown)'}"


@contextmanager
def opened(driver: str) -> Generator[Store]:
    """With its server running, which ends with it. Raises ServerUnavailable."""
    with tempfile.TemporaryDirectory(prefix="asyncdq-bench-") as folder:
        if driver == "sqlite":
            yield Store(driver, Path(folder), None)
            return
        with private(driver) as server:
            if driver == "redis":
                asyncio.run(every_second(server.url))
            yield Store(driver, Path(folder), server)


def through(url: str, port: int) -> str:
    """The same URL at another port of this machine."""
    parts = urlsplit(url)
    secret, separator, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{secret}{separator}127.0.0.1:{port}"))


def redis_client(url: str) -> Any:
    """redis-py's own types are unknown in part."""
    import redis.asyncio

    library: Any = redis.asyncio
    return library.Redis.from_url(url, socket_timeout=None)  # an idle contender may say nothing for long


async def every_second(url: str) -> None:
    """Redis as its append-only file is by default; the tests' servers wait for the disk at each write."""
    async with redis_client(url) as client:
        await client.config_set("appendfsync", "everysec")


async def redis_commands(url: str, seconds: float) -> int:
    """Those that clients send."""
    count = 0
    async with redis_client(url) as client, client.monitor() as monitor:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for command in monitor.listen():
                    count += command["client_type"] != "lua"
    return count


async def postgres_commands(url: str, seconds: float) -> int:
    """Transactions: a statement outside of one is one. Without those of the server's own housekeeping."""
    import asyncpg

    query = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("alter system set autovacuum = off")
        await connection.execute("select pg_reload_conf()")
        await asyncio.sleep(11.0)  # a connection that has become idle is counted up to ten seconds later
        before = await connection.fetchval(query)
        await asyncio.sleep(seconds)  # it is counted meanwhile
        return int(await connection.fetchval(query) - before - 1)  # without the question itself
    finally:
        await connection.execute("alter system reset autovacuum")
        await connection.execute("select pg_reload_conf()")
        await connection.close()


async def mysql_commands(url: str, seconds: float) -> int:
    """Statements."""
    import aiomysql

    at = urlsplit(url)
    connecting = aiomysql.connect(at.hostname or "", at.username, at.password or "", port=at.port or 3306)
    counts: list[int] = []
    async with connecting as connection, connection.cursor() as cursor:
        for pause in (seconds, 0):
            await cursor.execute("show global status like 'Questions'")
            ((_, count),) = await cursor.fetchall()
            counts.append(int(count))
            await asyncio.sleep(pause)  # it is counted meanwhile
    return counts[1] - counts[0] - 1  # without the question itself


async def rabbitmq_packets(url: str, seconds: float) -> float:
    """Those that clients send: questions, mostly, and heartbeats."""
    counts: list[tuple[float, int]] = []
    for pause in (seconds, 0):
        told = await asyncio.to_thread(control, url, "list_connections", "--quiet", "--no-table-headers", "recv_cnt")
        counts.append((time.monotonic(), sum(map(int, told.split()))))
        await asyncio.sleep(pause)  # it is counted meanwhile
    (began, before), (ended, after) = counts
    return (after - before) * seconds / (ended - began)  # to ask takes a second


COUNTERS: dict[str, Any] = {
    "redis": redis_commands,
    "postgres": postgres_commands,
    "mysql": mysql_commands,
    "rabbitmq": rabbitmq_packets,
}

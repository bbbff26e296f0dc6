"""SQLite: one table, in this thread."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ..contend import URL, Producer
from ..tally import note

PACKAGES = ()
DRIVERS = ("sqlite",)
VERSIONS = {"sqlite": ["sqlite3"]}
WORKER = ["{python}", "-m", "benchmarks.floors.sqlite", "{concurrency}"]
SETTINGS = "sqlite3 of the standard library; completes a batch and claims the next in one transaction"
CRASH = "stay leased"

CREATE = "create table if not exists floor (id integer primary key, body text, visible_at real, token integer)"

CLAIM = """
update floor set visible_at = ?, token = ?
where id in (select id from floor where visible_at <= ? order by id limit ?) returning id, body
"""


def connected() -> sqlite3.Connection:
    """With the durability that asyncdq has by default."""
    connection = sqlite3.connect(os.environ[URL].removeprefix("sqlite://"), timeout=30, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.execute(CREATE)
    return connection


@contextmanager
def producer() -> Generator[Producer]:
    """An insert, committed."""
    insert = "insert into floor (body, visible_at) values (?, 0)"
    thread = threading.local()  # SQLite's connections belong to one

    def own() -> sqlite3.Connection:
        if not hasattr(thread, "connection"):
            thread.connection = connected()
        connection: sqlite3.Connection = thread.connection
        return connection

    def one(name: str, *args: Any) -> None:
        own().execute(insert, (json.dumps(args),))

    def many(name: str, calls: list[tuple[Any, ...]]) -> None:
        connection = own()
        connection.execute("begin immediate")
        connection.executemany(insert, [(json.dumps(args),) for args in calls])
        connection.execute("commit")

    yield Producer(one, many)


def work(concurrency: int) -> None:
    """Claims, runs nothing, completes."""
    connection = connected()
    claimed: list[tuple[int, str]] = []
    for token in range(10**9):
        now = time.time()
        connection.execute("begin immediate")
        connection.executemany("delete from floor where id = ? and token = ?", [(id, token - 1) for id, _ in claimed])
        claimed = connection.execute(CLAIM, (now + 60, token, now, concurrency)).fetchall()
        connection.execute("commit")
        for _, body in claimed:
            note(*json.loads(body))
        if not claimed:
            time.sleep(0.001)  # it has nothing to wait for


if __name__ == "__main__":
    work(int(sys.argv[1]))

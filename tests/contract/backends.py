"""The drivers under test, each with its name for --drivers, and what differs between them, as data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from asyncdq import drivers
from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.testing import Backend, Store
from examples.memory_driver import BACKEND
from tests.servers.fixtures import new_store


def sqlite_file(folder: Path) -> Store:
    """A database file that any number of processes may open."""
    return lambda: SQLiteDriver(str(folder / "queue.db"))


def sqlite_memory(folder: Path) -> Store:
    """A database that lives and dies with its one driver."""
    return lambda: SQLiteDriver(":memory:")


def on_server(driver: str) -> Callable[[Path], Store]:
    """The store of a real server, emptied for each test."""

    def store(folder: Path) -> Store:
        url = new_store(driver, folder)
        return lambda: drivers.from_url(url)

    return store


BACKENDS = [
    ("memory", BACKEND),
    ("sqlite", Backend(id="sqlite-file", store=sqlite_file)),
    ("sqlite", Backend(id="sqlite-memory", store=sqlite_memory, shared=False, durable=False)),
    ("redis", Backend(id="redis", store=on_server("redis"))),
    ("postgres", Backend(id="postgres", store=on_server("postgres"))),
    ("mysql", Backend(id="mysql", store=on_server("mysql"))),
    (
        "rabbitmq",
        Backend(
            id="rabbitmq",
            store=on_server("rabbitmq"),
            unique_ids=False,
            ends_leases=False,
            lists_queues=False,
            counts_all=False,
            unbuffered=False,
            purges_delayed=False,
        ),
    ),
    # Long polls buffer what they bring, SQS counts whole seconds and orders at best, and its own purge, which would
    # take what is delayed, takes what is leased too.
    (
        "sqs",
        Backend(
            id="sqs",
            store=on_server("sqs"),
            unique_ids=False,
            unbuffered=False,
            ordered=False,
            fractions=False,
            purges_delayed=False,
        ),
    ),
]

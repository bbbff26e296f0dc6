"""The drivers under test, one entry each, and what differs between them, as data.

A test that needs a trait says so (`@needs("unique_ids")`) and is simply not run where it is False.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from asyncdq import drivers
from asyncdq.drivers.base import BaseDriver
from asyncdq.drivers.sqlite import SQLiteDriver
from tests.servers.fixtures import new_store

Store = Callable[[], BaseDriver]
"""Makes one more driver, not yet connected, on the same store: each call is another process's view of it."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One driver on one kind of store.

    id             what the test report calls it
    driver         its name in asyncdq.drivers
    store          opens a new and empty store; the folder is the test's own
    shared         a second driver can work on the same store
    durable        the store outlives its last driver
    unique_ids     an id that is waiting or running stores nothing
    ends_leases    a lease ends by itself when its seconds have passed
    lists_queues   `queues` knows the names
    counts_purged  `purge` says how many
    counts_all     `stats` knows every one of its numbers
    dead_letters   it is `DeadLetters`
    """

    id: str
    driver: str
    store: Callable[[Path], Store]
    shared: bool = True
    durable: bool = True
    unique_ids: bool = True
    ends_leases: bool = True
    lists_queues: bool = True
    counts_purged: bool = True
    counts_all: bool = True
    dead_letters: bool = True

    def has(self, traits: set[str]) -> bool:
        """Whether all of these traits are true of it."""
        return all(getattr(self, trait) for trait in traits)


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
    Backend("sqlite-file", "sqlite", sqlite_file),
    Backend("sqlite-memory", "sqlite", sqlite_memory, shared=False, durable=False),
    Backend("redis", "redis", on_server("redis")),
    Backend("postgres", "postgres", on_server("postgres")),
]


def needs(*traits: str) -> pytest.MarkDecorator:
    """Run this test on the backends that have all these traits."""
    return pytest.mark.needs(*traits)

"""One driver under the contract suite, and what differs between drivers, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..drivers.base import BaseDriver

Store = Callable[[], BaseDriver]
"""Makes one more driver, not yet connected, on the same store: each call is another process's view of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One driver on one kind of store.

    id             what the test report calls it
    store          opens a new and empty store; the folder is the test's own
    shared         a second driver can work on the same store
    durable        the store outlives its last driver
    unique_ids     an id that is waiting or running stores nothing
    ends_leases    a lease ends by itself when its seconds have passed
    lists_queues   `queues` knows the names
    counts_purged  `purge` says how many
    counts_all     `stats` knows every one of its numbers
    dead_letters   it is `DeadLetters`
    unbuffered     what one driver has not handed out, another can have at once
    ordered        messages that are enqueued one after the other come in that order, however many
    fractions      a lease or a delay may end at a fraction of a second; else they are rounded up to whole ones
    purges_delayed `purge` takes what is delayed too
    """

    id: str
    store: Callable[[Path], Store]
    shared: bool = True
    durable: bool = True
    unique_ids: bool = True
    ends_leases: bool = True
    lists_queues: bool = True
    counts_purged: bool = True
    counts_all: bool = True
    dead_letters: bool = True
    unbuffered: bool = True
    ordered: bool = True
    fractions: bool = True
    purges_delayed: bool = True

    def has(self, traits: set[str]) -> bool:
        """Whether all of these traits are true of it."""
        return all(getattr(self, trait) for trait in traits)

"""What the backend says of its driver is so."""

from __future__ import annotations

from asyncdq.drivers.base import BaseDriver, DeadLetters
from asyncdq.testing import Backend, Store


def test_a_store_makes_drivers(store: Store) -> None:
    assert isinstance(store(), BaseDriver)


def test_dead_letters_are_there_where_they_are_declared(backend: Backend, store: Store) -> None:
    assert isinstance(store(), DeadLetters) == backend.dead_letters


def test_the_limits_say_whether_leases_end_by_themselves(backend: Backend, store: Store) -> None:
    assert store().limits.ends_leases == backend.ends_leases

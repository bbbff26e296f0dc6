"""The suite itself: no driver may be left out of it."""

from __future__ import annotations

from asyncdq import drivers
from asyncdq.drivers.base import BaseDriver, DeadLetters
from tests.contract.backends import BACKENDS, Backend, Store


def test_every_driver_is_under_contract() -> None:
    assert {backend.driver for backend in BACKENDS} == {known.name for known in drivers.BACKENDS}


def test_a_store_makes_drivers_of_the_named_kind(backend: Backend, store: Store) -> None:
    assert isinstance(store(), drivers.driver_class(backend.driver))
    assert isinstance(store(), BaseDriver)


def test_dead_letters_are_there_where_they_are_declared(backend: Backend, store: Store) -> None:
    assert isinstance(store(), DeadLetters) == backend.dead_letters

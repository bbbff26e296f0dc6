"""The suite is asyncdq/testing/suite; here: no driver may be left out of it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from asyncdq import drivers
from asyncdq.testing import Backend
from tests.contract.backends import BACKENDS
from tests.matrix import Promise, promises
from tests.servers.fixtures import skip_unless_selected

BY_NAME = {known.name: known for known in drivers.BACKENDS}
SUITE = "asyncdq/testing/suite/"
OURS = [(name, backend) for name, backend in BACKENDS if name in BY_NAME]


def test_every_driver_is_under_contract() -> None:
    assert {name for name, _ in BACKENDS} == {*BY_NAME, "memory"}  # that one is an example


@pytest.mark.parametrize(("name", "ours"), OURS, ids=[backend.id for _, backend in OURS])
def test_a_store_makes_drivers_of_the_named_kind(
    name: str, ours: Backend, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    skip_unless_selected(name, request.config)
    assert isinstance(ours.store(tmp_path)(), BY_NAME[name].load())


def marks_of(place: object) -> list[pytest.Mark]:
    marks = getattr(place, "pytestmark", [])
    return [
        mark if isinstance(mark, pytest.Mark) else mark.mark for mark in (marks if isinstance(marks, list) else [marks])
    ]


def traits_of(test: str) -> set[str]:
    """What a backend has to have for this test of the suite."""
    file, _, name = test.partition("::")
    module: ModuleType = import_module(file.removesuffix(".py").replace("/", "."))
    marks = [*marks_of(module), *marks_of(getattr(module, name))]
    return {trait for mark in marks if mark.name == "needs" for trait in mark.args}


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise.text[:40])
def test_the_documentation_promises_what_the_suite_asks_of_a_driver_and_nothing_else(promise: Promise) -> None:
    asked = [traits_of(test) for test in promise.tests if test.startswith(SUITE)]
    elsewhere = len(asked) < len(promise.tests)
    for driver, word in promise.words.items():
        shown = any(backend.has(traits) for name, backend in OURS if name == driver for traits in asked)
        assert not shown or word == "yes", driver
        assert shown or elsewhere or word != "yes", driver

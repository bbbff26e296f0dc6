"""What `import asyncdq` offers, and what it costs a program that only enqueues."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asyncdq
from asyncdq import errors

ROOT = Path(__file__).resolve().parents[2]

NAMES = [
    *("task", "Task", "Call", "Enqueued", "current_task", "CurrentTask"),
    *("Client", "Worker", "Settings", "RetryPolicy", "EventSubscriber"),
    *("Retry", "Snooze", "Reject", "AsyncdqError", "__version__"),
]

HEAVY = {"pydantic", "pydantic_settings", "typer", "rich", "sqlite3"} | {
    *("redis", "asyncpg", "aiomysql", "pymysql", "aio_pika", "aioboto3", "aiobotocore", "botocore")
}


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(asyncdq.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_a_public_name_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(public(name)) not in (None, "", inspect.getdoc(object))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        public("nonsense")


def test_a_producer_imports_nothing_heavy() -> None:
    assert HEAVY & modules_after("import asyncdq\nfrom asyncdq import task, Client") == set()


def test_the_measure_sees_what_is_heavy() -> None:
    assert HEAVY & modules_after("import asyncdq, sqlite3") == {"sqlite3"}


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    assert dict(drawn(errors.__doc__ or "")) == dict(defined())


def public(name: str) -> object:
    return getattr(asyncdq, name)


def modules_after(statements: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after these statements."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{statements}\nprint(*sys.modules)"
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in answer.stdout.split()}


def drawn(text: str) -> Iterator[tuple[str, str]]:
    """(class, parent) of each line of the tree: a name's column, in steps of four, is its depth."""
    path = ["AsyncdqError"]
    for line in text.splitlines():
        if branch := re.match(r"([│ ]*[├└]── )(\w+)", line):
            depth = len(branch[1]) // 4
            path[depth:] = [branch[2]]
            yield branch[2], path[depth - 1]


def defined() -> Iterator[tuple[str, str]]:
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, errors.AsyncdqError) and thing is not errors.AsyncdqError:
            yield name, thing.__bases__[0].__name__

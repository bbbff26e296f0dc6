"""The habits of the house: how long things are, what they are called, and what tests must not do.

A check reads sources and yields a complaint for each violation. Every check is shown at the end to find a
violation that was planted.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .sources import Check, Sources, calls, found_in, name_of, read, targets_of

ROOT = Path(__file__).resolve().parents[2]

LONGEST_FILE, LONGEST_FUNCTION = 300, 40
EMPTY_NAMES = {"manager", "service", "helper", "helpers", "util", "utils"}


def too_long(sources: Sources) -> Iterator[str]:
    """A long file or function, unless a line `# long because: ...` stands in it."""
    for source in sources:
        reasons = {line for line, text in source.comments.items() if re.match(r"# long because: \S", text)}
        for function in source.functions():
            lines = range(function.lineno, (function.end_lineno or 0) + 1)
            if len(lines) > LONGEST_FUNCTION and not reasons.intersection(lines):
                yield f"{source.path}:{function.lineno}: {function.name} has {len(lines)} lines"
            reasons.difference_update(lines)
        if source.text.count("\n") > LONGEST_FILE and not reasons:
            yield f"{source.path}: has {source.text.count(chr(10))} lines"


def empty_name(sources: Sources) -> Iterator[str]:
    """A name that says nothing: Manager, Service, Helper, utils."""
    for source in sources:
        defined = [node.name for node in source.nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
        for name in [*defined, *source.name.split(".")]:
            if EMPTY_NAMES.intersection(word.lower() for word in re.findall(r"[A-Z]?[a-z]+", name)):
                yield f"{source.path}: {name} says nothing about what it is"


def bare_except(sources: Sources) -> Iterator[str]:
    """`except:` also catches what must end the process."""
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f"{source.path}:{node.lineno}: bare except"


def silenced(sources: Sources) -> Iterator[str]:
    """`type: ignore` at all; `noqa` and `pyright: ignore` without their rule and a reason beside them."""
    for source in sources:
        for line, text in source.comments.items():
            if "type: ignore" in text:
                yield f"{source.path}:{line}: type: ignore"
            elif re.search(r"noqa|pyright:", text) and not re.search(
                r"(noqa: |pyright: ignore\[)[\w\]]+,? .*- \w", text
            ):
                yield f"{source.path}:{line}: silences a tool without a rule or a reason: `# noqa: B027 - why`"


def undocumented(sources: Sources) -> Iterator[str]:
    """A file, or a public class or function of one, without the line that says what it promises."""
    for source in sources:
        if source.text.strip() and not ast.get_docstring(source.tree):
            yield f"{source.path}: has no docstring"
        for node in source.tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                overloaded = "overload" in map(ast.unparse, node.decorator_list)
                if not node.name.startswith("_") and not overloaded and not ast.get_docstring(node):
                    yield f"{source.path}:{node.lineno}: {node.name} has no docstring"


def mock(sources: Sources) -> Iterator[str]:
    """A test that talks to a mock proves what the mock does."""
    for source in sources:
        for node in source.nodes:
            named = [*targets_of(node, source), node.arg if isinstance(node, ast.arg) else ""]
            if any(re.match(r"(unittest\.)?mock\b|pytest_mock\b|mocker$", name) for name in named):
                yield f"{source.path}:{getattr(node, 'lineno', 0)}: mock"


def patched(sources: Sources) -> Iterator[str]:
    """monkeypatch.setattr on asyncdq: the test would no longer run what users run."""
    for source in sources:
        ours = {"asyncdq"}
        for node in source.nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)) and targets_of(node, source)[0].startswith("asyncdq"):
                ours.update(alias.asname or alias.name for alias in node.names)
        for call in calls(source, "monkeypatch.setattr"):
            if call.args and ast.unparse(call.args[0]).strip("'\"").split(".")[0] in ours:
                yield f"{source.path}:{call.lineno}: patches asyncdq"


def sleep(sources: Sources) -> Iterator[str]:
    """A sleep that stands for an outcome: wait for the event. What has to take time says why on its line."""
    for source in sources:
        for call in calls(source, "time.sleep", "asyncio.sleep", "sleep"):
            lines = range(call.lineno, (call.end_lineno or call.lineno) + 1)
            yields = bool(call.args) and ast.unparse(call.args[0]) == "0"
            if not yields and not source.comments.keys() & set(lines):
                yield f"{source.path}:{call.lineno}: sleeps; a comment on the line must say why"


SUITE = "asyncdq/testing/suite"  # tests, although they are shipped

OF_THE_PACKAGE: list[Check] = [too_long, empty_name, bare_except, silenced, undocumented, mock]
OF_THE_TESTS: list[Check] = [bare_except, mock, patched, sleep]

PLANTED: list[tuple[Check, str, str]] = [
    (too_long, "asyncdq/message.py", "# a line\n" * 301),
    (too_long, "asyncdq/message.py", "def f():\n" + "    f()\n" * 40),
    (too_long, "asyncdq/message.py", "def f():\n    # long because:\n" + "    f()\n" * 40),
    (empty_name, "asyncdq/client.py", "class QueueManager: ..."),
    (empty_name, "asyncdq/utils.py", ""),
    (bare_except, "asyncdq/client.py", "try: ...\nexcept: ..."),
    (silenced, "asyncdq/client.py", "x = 1  # type: ignore[assignment] - no reason is enough"),
    (silenced, "asyncdq/client.py", "x = 1  # noqa: F401"),
    (undocumented, "asyncdq/client.py", '"""The client."""\nclass Client: ...'),
    (undocumented, "asyncdq/client.py", "import asyncio"),
    (mock, "tests/unit/test_x.py", "from unittest.mock import Mock"),
    (mock, "tests/unit/test_x.py", "from unittest import mock"),
    (mock, "tests/unit/test_x.py", "def test_x(mocker): ..."),
    (patched, "tests/unit/test_x.py", "from asyncdq import client\nmonkeypatch.setattr(client, 'x', 1)"),
    (patched, "tests/unit/test_x.py", "monkeypatch.setattr('asyncdq.client.x', 1)"),
    (sleep, "tests/unit/test_x.py", "import time\ntime.sleep(0.1)"),
    (sleep, "tests/unit/test_x.py", "import asyncio\nasyncio.sleep(delay=1)"),
]

RIGHT = {
    "asyncdq/message.py": '"""M."""\ndef f():\n    """Long."""\n    # long because: it is one table\n'
    + "    f()\n" * 40,
    "asyncdq/client.py": '"""The client."""\nimport io  # noqa: F401 - a reason\nclass Serviceable: "Named well."',
    "tests/unit/test_x.py": '"X."\nasyncio.sleep(0)\nasyncio.sleep(9)  # cancelled\nmonkeypatch.setattr(os, "x", 1)',
}


@pytest.mark.parametrize("check", OF_THE_PACKAGE, ids=name_of)
def test_the_package_keeps_the_rule(check: Check) -> None:
    sources = [source for source in read(ROOT, "asyncdq") if not source.path.startswith(SUITE)]
    complaints = list(check(sources))
    assert len(sources) > 5
    assert not complaints, "\n".join(complaints)


def leftovers(root: Path) -> list[Path]:
    """What a patch, a merge or an editor has left behind, and a wheel would carry to the users."""
    return [path for pattern in ("*.orig", "*.rej", "*.bak", "*.swp", "*~") for path in root.rglob(pattern)]


@pytest.mark.parametrize("folder", ["asyncdq", "benchmarks", "docs", "examples", "scripts", "stubs", "tests"])
def test_nothing_was_left_behind(folder: str, tmp_path: Path) -> None:
    assert list((ROOT / folder).iterdir())
    assert leftovers(ROOT / folder) == []
    planted = tmp_path / "drivers" / "rabbitmq_consumer.py.orig"
    planted.parent.mkdir()
    planted.touch()
    assert leftovers(tmp_path) == [planted]


@pytest.mark.parametrize("check", OF_THE_TESTS, ids=name_of)
def test_the_tests_keep_the_rule(check: Check) -> None:
    complaints = list(check([*read(ROOT, "tests"), *read(ROOT, SUITE)]))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(("check", "path", "text"), PLANTED)
def test_a_planted_violation_is_found(check: Check, path: str, text: str, tmp_path: Path) -> None:
    assert len(found_in(tmp_path, check, {path: text})) == 1


def test_what_is_right_is_not_reported(tmp_path: Path) -> None:
    assert [
        complaint for check in [*OF_THE_PACKAGE, *OF_THE_TESTS] for complaint in found_in(tmp_path, check, RIGHT)
    ] == []


def test_every_check_has_a_planted_violation() -> None:
    assert {check for check, _, _ in PLANTED} == {*OF_THE_PACKAGE, *OF_THE_TESTS}

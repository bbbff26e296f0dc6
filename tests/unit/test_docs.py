"""The documentation says what is so: the tests that it names exist, links lead somewhere, options are real."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from asyncdq import Worker
from asyncdq.cli.app import app
from asyncdq.cli.group import Group
from asyncdq.drivers import BACKENDS
from asyncdq.message import REASONS
from asyncdq.settings import Settings, options

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = [
    page for page in PAGES if page.name not in ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks.md")
]  # rivals' flags
GUARANTEES, SECURITY = ROOT / "docs" / "guarantees.md", ROOT / "docs" / "security.md"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def matrix() -> list[list[str]]:
    """The cells of the matrix of guarantees, the header first."""
    lines = GUARANTEES.read_text().partition("## The matrix")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [rows[0], *rows[2:]]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def flags_of(command: object) -> Iterator[str]:
    """Every flag of a command and of those below it."""
    for parameter in getattr(command, "params", []):
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, Group):
        for name, entry in command.table.items():
            yield from flags_of(entry.load(name))


@pytest.mark.parametrize(("page", "least"), [(GUARANTEES, 30), (SECURITY, 25)], ids=["guarantees", "security"])
def test_every_test_that_a_page_of_promises_names_exists(page: Path, least: int) -> None:
    named = re.findall(r"`(\S+\.py)::(\w+)`", page.read_text())
    for file, test in named:
        functions = [node for node in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(node, "args")]
        assert test in [getattr(node, "name", "") for node in functions], f"{file}::{test}"
    assert len(named) > least


def test_every_test_of_the_page_on_security_is_referred_to() -> None:
    text, _, tests = SECURITY.read_text().partition("## The tests")
    numbers = re.findall(r"^(\d+)\. ", tests, re.MULTILINE)
    assert set(re.findall(r"\[(\d+)\]", text)) == set(numbers)


def test_every_promise_names_its_test_or_is_called_untested() -> None:
    for promise, test, *cells in matrix()[1:]:
        assert cells, promise
        assert set(cells) <= {"yes", "no", "untested", "without"}, f"{promise}: one word per cell"
        assert bool(re.fullmatch(r"(`\S+\.py::\w+`(, )?)+", test)) == ("yes" in cells), promise


def test_the_matrix_has_a_column_for_every_driver() -> None:
    assert matrix()[0] == ["promise", "test", *(backend.name for backend in BACKENDS)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_the_documentation_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_quickstart_of_the_readme_is_the_example() -> None:
    assert f"# tasks.py\n{(ROOT / 'examples' / 'tasks.py').read_text()}" in blocks(ROOT / "README.md", "python")


def test_the_part_of_the_demo_that_the_readme_shows_stands_in_it() -> None:
    (shown,) = [block for block in blocks(ROOT / "README.md", "python") if block.startswith("# examples/")]
    assert shown.partition("\n")[2] in (ROOT / "examples" / "stdlib_stats.py").read_text()


def test_the_driver_that_is_shown_in_parts_is_the_example() -> None:
    example = (ROOT / "examples" / "memory_driver.py").read_text()
    written = {ast.unparse(node) for node in ast.walk(ast.parse(example)) if hasattr(node, "body")}
    parts = [block for block in blocks(ROOT / "docs" / "drivers.md", "python") if block.startswith("# examples/")]
    for node in (node for part in parts for node in ast.parse(part).body):
        assert ast.unparse(node) in written, ast.unparse(node)
    assert len(parts) > 5


def test_the_settings_that_the_readme_shows_are_accepted() -> None:
    (block,) = blocks(ROOT / "README.md", "toml")
    table = tomllib.loads(block)["tool"]["asyncdq"]
    assert Settings(**table).model_fields_set >= table.keys()


def test_a_client_takes_its_url_from_the_settings_as_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [block for block in blocks(ROOT / "README.md", "python") if "settings = Settings()" in block]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYNCDQ_SQLITE_PATH", "elsewhere.db")
    monkeypatch.setenv("ASYNCDQ_SIGNING_KEYS", "a-key-of-at-least-16-characters")
    shown: dict[str, Any] = {}
    exec(block, shown)
    assert shown["client"].driver.path == (tmp_path / "elsewhere.db").resolve()
    assert shown["client"].keyring is not None
    worker = Worker(shown["settings"].driver_url(), queues=shown["settings"].queues)  # as docs/tasks.md has it
    assert repr(worker.driver) == repr(shown["client"].driver)


@pytest.mark.parametrize("page", OURS, ids=name_of)
def test_every_option_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    flags = {*flags_of(get_command(app)), "--help", "--time", "--wait"}  # the last two are docker's
    variables = {option.variable for option in options()}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])", text)) <= flags
    assert set(re.findall(r"\bASYNCDQ_[A-Z_]*[A-Z]\b", text)) <= variables


def test_every_reason_of_a_burial_that_a_page_names_exists() -> None:
    table = (ROOT / "docs" / "tasks.md").read_text().partition("## How a task ends")[2].partition("\n## ")[0]
    named = {word for group in re.findall(r"buried \(([^)]*)\)", table) for word in re.findall(r"`(\w+)`", group)}
    assert named == REASONS.keys() - {"undecodable", "unsigned", "unknown"}  # those happen before a task begins

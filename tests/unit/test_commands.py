"""The list of commands is written from a table, before the commands are there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

from asyncdq.cli.app import Commands
from asyncdq.cli.group import Branch, Entry, Group


def entries(group: type[Group]) -> Iterator[tuple[str, Entry]]:
    for name, each in group.table.items():
        if isinstance(each, Branch):
            yield from entries(each.group)
        else:
            yield name, each


@pytest.mark.parametrize(("name", "entry"), list(entries(Commands)), ids=str)
def test_the_list_says_of_a_command_what_the_command_says_of_itself(name: str, entry: Entry) -> None:
    written = getattr(import_module(f"asyncdq.cli.{entry.module}"), entry.function).__doc__
    assert written.startswith(entry.summary.removesuffix("."))
    assert entry.load(name).name == name


def test_help_reads_no_settings() -> None:
    script = "import sys; from asyncdq.cli.app import run; run(['--help']); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "Print what happens to tasks" in said
    assert "asyncdq.settings" not in said.split()

"""Commands that are made when they are called: the settings, and the library behind them, take half of a start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command

EPILOG = (
    "Each option is also a variable (--sqlite-path: ASYNCDQ_SQLITE_PATH) and a key of [tool.asyncdq] (sqlite_path)."
)


def plain(cls: type[TyperGroup] | None = None) -> typer.Typer:
    """An app with plain help: what draws boxes would cost each start more than everything else here."""
    return typer.Typer(cls=cls, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command stands, what the list of commands says about it, and in whose name it has its options."""

    summary: str
    module: str
    function: str
    options: str

    def load(self, name: str) -> Any:
        """The command."""
        from .parameters import with_settings  # not before a command is called

        function = getattr(import_module(f".{self.module}", __package__), self.function)
        app = plain()
        app.command(name, epilog=EPILOG)(with_settings(self.options, function))
        return get_command(app)


@dataclass(frozen=True, slots=True)
class Branch:
    """A group within a group."""

    summary: str
    group: type[Group]

    def load(self, name: str) -> Any:
        """The group as a command."""
        app = plain(self.group)
        app.callback(help=self.summary)(_nothing)
        return get_command(app)


def _nothing() -> None: ...


class Group(TyperGroup):
    """A group of commands and groups. Its list is written from the table alone."""

    table: ClassVar[Mapping[str, Entry | Branch]]

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The one of this name, or None."""
        entry = self.table.get(cmd_name)
        return entry and entry.load(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.summary) for name, each in self.table.items()])

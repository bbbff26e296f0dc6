"""Rows for people: a drawn table on a terminal, aligned columns in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size

from ..names import shown


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows under their heads."""
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    framed = sum(widths) + 3 * len(widths) + 1
    if sys.stdout.isatty() and framed <= get_terminal_size().columns:  # else it would cut off ids
        _draw(heads, rows)
    else:
        for row in (heads, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def moment(seconds: float) -> str:
    """Unix seconds as a date and time, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")


def _draw(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # lazily: only a terminal needs it
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads)
    for row in rows:
        table.add_row(*map(Text, row))  # not str: an error's text may look like markup
    Console().print(table)

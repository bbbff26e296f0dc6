"""The names of two tables in an SQL database, and the files with statements about them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from ..errors import ConfigurationError

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")


def check_names(queue: str, dead: str) -> None:
    """Raises ConfigurationError for what is not a plain lower-case name, `name` or `schema.name`, and for twins."""
    if queue == dead:
        raise ConfigurationError("queue_table and dead_letter_table are the same: give them two names")
    for option, name in (("queue_table", queue), ("dead_letter_table", dead)):
        parts = name.split(".")
        if len(parts) > 2 or not all(map(_NAME.fullmatch, parts)):
            raise ConfigurationError(
                f"{option} is name or schema.name, each up to 48 of a-z, 0-9 and '_', beginning with no digit"
            )


def quoted(name: str, mark: str) -> str:
    """The name for a statement; it has been checked."""
    return ".".join(f"{mark}{part}{mark}" for part in name.split("."))


@lru_cache
def statement(file: str) -> str:
    """A statement from its file, without the comment at its head: that would travel with every call."""
    lines = Path(__file__).with_name(f"{file}.sql").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))

"""The names of the tables, and the statements that speak of them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from ..errors import ConfigurationError

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")

LONGEST_SLEEP = 1.0
"""Seconds for which a waiter sleeps at most; postgres_announce.sql counts on it."""


class Tables:
    """The queue table and the dead letter table, each `name` or `schema.name`.

    Raises ConfigurationError for what is not a plain lower-case name.
    """

    def __init__(self, queue: str, dead: str) -> None:
        if queue == dead:
            raise ConfigurationError(f"queue_table and dead_letter_table are both {queue!r}: give them two names")
        self.names = queue, dead
        self.tasks = _quoted("queue_table", queue)
        self.dead = _quoted("dead_letter_table", dead)
        self.index = f'"{queue.rpartition(".")[2]}_ready"'
        self.dead_index = f'"{dead.rpartition(".")[2]}_order"'
        schema = queue.rpartition(".")[0]
        self.versions = f'"{schema}"."asyncdq_schema"' if schema else '"asyncdq_schema"'
        self.channel = f"asyncdq:{queue}"[:63]
        self.claim = self._read("claim")
        self.done = self._read("done")
        self.extend = self._read("extend")
        self.enqueue = self._read("enqueue")
        self.settle = self._read("settle")
        self.requeue = self._read("requeue")

    def _read(self, name: str) -> str:
        names = {"tasks": self.tasks, "dead": self.dead, "channel": self.channel}
        return _text(name).format(**names, announce=_text("announce").format(**names))


@lru_cache
def _text(name: str) -> str:
    """A statement from its file, without the comment at its head: that would travel with every call."""
    lines = Path(__file__).with_name(f"postgres_{name}.sql").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def _quoted(option: str, name: str) -> str:
    parts = name.split(".")
    if len(parts) > 2 or not all(map(_NAME.fullmatch, parts)):
        raise ConfigurationError(
            f"{option} {name!r}: use name or schema.name, each up to 48 of a-z, 0-9 and '_', beginning with no digit"
        )
    return ".".join(f'"{part}"' for part in parts)

"""The names of the tables, and the statements that speak of them."""

from __future__ import annotations

from .sql_tables import check_names, quoted, statement

LONGEST_SLEEP = 1.5
"""Seconds for which a waiter sleeps at most: what is due later is not announced. With the looks of the first moments
and the claims that is less than 60 commands a minute."""


class Tables:
    """The queue table and the dead letter table, each `name` or `schema.name`.

    Raises ConfigurationError for what is not a plain lower-case name.
    """

    def __init__(self, queue: str, dead: str) -> None:
        check_names(queue, dead)
        self.names = queue, dead
        self.tasks, self.dead = quoted(queue, '"'), quoted(dead, '"')
        self.index = f'"{queue.rpartition(".")[2]}_ready"'
        self.dead_index = f'"{dead.rpartition(".")[2]}_order"'
        schema = queue.rpartition(".")[0]
        self.versions = quoted(f"{schema}.asyncdq_schema" if schema else "asyncdq_schema", '"')
        self.channel = f"asyncdq:{queue}"[:63]
        self.claim = self._read("claim")
        self.done = self._read("done")
        self.extend = self._read("extend")
        self.held = self._read("held")
        self.enqueue = self._read("enqueue")
        self.enqueue_one = self._read("enqueue_one")
        self.settle = self._read("settle")
        self.requeue = self._read("requeue")
        self.delete = self._read("delete")

    def _read(self, name: str) -> str:
        names = {"tasks": self.tasks, "dead": self.dead, "channel": self.channel}
        announce = statement("postgres_announce").format(**names, longest_sleep=LONGEST_SLEEP)
        return statement(f"postgres_{name}").format(**names, announce=announce)

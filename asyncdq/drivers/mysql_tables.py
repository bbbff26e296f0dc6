"""The names of the tables, and the statements that speak of them."""

from __future__ import annotations

from .sql_tables import check_names, quoted, statement


class Tables:
    """The queue table and the dead letter table, each `name` or `schema.name`.

    Raises ConfigurationError for what is not a plain lower-case name.
    """

    def __init__(self, queue: str, dead: str) -> None:
        check_names(queue, dead)
        self.names = queue, dead
        self.tasks, self.dead = quoted(queue, "`"), quoted(dead, "`")
        self.schema = queue.rpartition(".")[0]
        self.versions = quoted(f"{self.schema}.asyncdq_schema" if self.schema else "asyncdq_schema", "`")
        self.claim = self._read("mysql_claim")
        self.requeue = self._read("mysql_requeue")

    def _read(self, file: str) -> str:
        """A statement with the tables' names; what is left in braces is filled in with each call."""
        return statement(file).replace("{tasks}", self.tasks).replace("{dead}", self.dead)

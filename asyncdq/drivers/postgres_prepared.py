"""Which connections have prepared a statement: there it leaves in one go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from .postgres_link import Connection
from .transport import telling


class Prepared:
    """By statement, the connections that have asked it. They keep it as long as they live: see `Link`."""

    def __init__(self) -> None:
        self._by: defaultdict[str, WeakSet[Connection]] = defaultdict(WeakSet)

    async def ask(self, connection: Connection, sent: Callable[[], None], statement: str, *args: object) -> Any:
        """The one value of the answer. `sent` hears when the statement is on its way, if that is before the answer."""
        known = self._by[statement]
        if connection in known:
            # asyncpg has no name for its transport.
            return await telling(sent, getattr(connection, "_transport", None), connection.fetchval(statement, *args))
        answer = await connection.fetchval(statement, *args)
        known.add(connection)
        return answer

"""What the drivers of SQL servers may be told, in their URLs or beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..errors import ConfigurationError
from ..url import number, whole_number

OPTIONS = ("queue_table", "dead_letter_table", "min_pool_size", "max_pool_size", "timeout")


@dataclass(frozen=True, slots=True)
class Options:
    """The names of two tables, the sizes of the pool, and the seconds of a call."""

    queue_table: str
    dead_letter_table: str
    min_pool_size: int
    max_pool_size: int
    timeout: float

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """From words or numbers; what is not ours is passed by. Raises ConfigurationError."""
        most = whole_number("max_pool_size", said["max_pool_size"], 1, 10_000)
        least = whole_number("min_pool_size", said["min_pool_size"], 1, 10_000)
        if least > most:
            raise ConfigurationError("min_pool_size is at most max_pool_size")
        timeout = number("timeout", said["timeout"], 0.1, 3600)
        return cls(str(said["queue_table"]), str(said["dead_letter_table"]), least, most, timeout)

"""Values: dataclasses that nobody changes once they are made. Imports nothing of asyncdq."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def value(cls: type[T], /) -> type[T]: ...
@overload
def value(*, eq: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T] | None = None, /, *, eq: bool = True) -> type[T] | Callable[[type[T]], type[T]]:
    """A frozen dataclass with slots to type checkers, which are who keeps it from being changed.

    At run time it is not frozen: making one then takes six times as long, and each task makes half a dozen.
    Without `eq` it is compared by identity.
    """

    def make(cls: type[T]) -> type[T]:
        return dataclass(slots=True, eq=eq, unsafe_hash=eq)(cls)

    return make if cls is None else make(cls)

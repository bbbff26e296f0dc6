"""Functions that block for virtual seconds, in threads and in processes that are none.

Simulated is what an event loop sees of them: when they start, that they cannot be cancelled, that a process can
be killed, dies with its worker and goes on while its worker is frozen. The pipe, the signals and the code in the
child are not: those are tested with real processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """How long a function blocks: virtual seconds; `note` is called with how it ended, then or when it is killed."""

    seconds: float
    how: str = "returned"
    note: Callable[[str], None] = lambda how: None


_spans: list[Span] = []


def block(span: Span) -> None:
    """Say, inside a function, how long it blocks."""
    _spans.append(span)


def measured(function: Callable[[], T]) -> tuple[T, Span]:
    """What the function returns, at once, and how long it said that it blocks."""
    result = function()
    return result, _spans.pop() if _spans else Span(0.0)

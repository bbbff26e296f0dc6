"""What a task raises to say how it wants to end."""

from __future__ import annotations

from .seconds import as_seconds


class Signal(Exception):
    """The root of the three; not an error, so it is not in the error tree."""


class Retry(Signal):
    """This attempt failed: run again after `delay` seconds (default: as the task's policy says). Counts."""

    def __init__(self, message: str = "", *, delay: float | None = None) -> None:
        if not isinstance(message, str):
            raise ValueError(f"Retry: the first argument is a message; a delay is said as Retry(delay={message!r})")
        super().__init__(message or "the task asked for a retry")
        self.delay = None if delay is None else _checked("Retry", delay)


class Snooze(Signal):
    """Not now: run again after `delay` seconds. Does not count as an attempt."""

    def __init__(self, delay: float) -> None:
        super().__init__(f"snoozed for {delay} s")
        self.delay = _checked("Snooze", delay)


class Reject(Signal):
    """Never again: bury this task now, with this reason."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the task rejected its message")


def _checked(name: str, delay: object) -> float:
    if not (number := as_seconds(delay)) >= 0:
        raise ValueError(f"{name}: the delay is in seconds, 0 or more, not {delay!r:.100}")
    return number

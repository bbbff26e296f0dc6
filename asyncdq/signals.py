"""What a task raises to say how it wants to end."""

from __future__ import annotations


class Signal(Exception):
    """The root of the three; not an error, so it is not in the error tree."""


class Retry(Signal):
    """This attempt failed: run again after `delay` seconds (default: as the task's policy says). Counts."""

    def __init__(self, message: str = "", *, delay: float | None = None) -> None:
        super().__init__(message or "the task asked for a retry")
        _check_delay("Retry", delay)
        self.delay = delay


class Snooze(Signal):
    """Not now: run again after `delay` seconds. Does not count as an attempt."""

    def __init__(self, delay: float) -> None:
        super().__init__(f"snoozed for {delay} s")
        _check_delay("Snooze", delay)
        self.delay = delay


class Reject(Signal):
    """Never again: bury this task now, with this reason."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the task rejected its message")


def _check_delay(name: str, delay: object) -> None:
    if delay is not None and not (isinstance(delay, (int, float)) and 0 <= delay < float("inf")):
        raise ValueError(f"{name}: the delay is in seconds, 0 or more, not {delay!r}")

"""The ranges of what a task or a call may say about itself."""

from __future__ import annotations

from datetime import UTC, datetime

from .errors import InvalidCall, TaskError
from .message import UNSAID, CallOptions
from .names import check_id, check_queue
from .seconds import as_seconds

LEAST = {"delay": 0.0, "retry_delay": 0.0, "timeout": 0.001, "visibility_timeout": 0.1}
"""The least seconds of each duration. A lease is renewed three times in its length: shorter ones only cost."""


def check_options(options: CallOptions, owner: str, error: type[TaskError] = InvalidCall) -> None:
    """Raise `error` for the first option of `owner` that is out of range, ConfigurationError for a queue name."""
    if options is UNSAID:
        return
    for name, least in LEAST.items():
        value = getattr(options, name)
        if value is not None:
            check_seconds(f"{owner}: {name}", value, least, error)
    attempts = options.max_attempts
    if attempts is not None and (type(attempts) is not int or attempts < 1):
        raise error(f"{owner}: max_attempts is a whole number, 1 or more, not {attempts!r}")
    if options.queue is not None:
        check_queue(options.queue)
    if options.id is not None:
        check_id(options.id)


def delay_of(options: CallOptions, owner: str) -> float:
    """Seconds from now until the call may run, by this machine's clock. Raises InvalidCall."""
    run_at: object = options.run_at
    if run_at is None:
        return options.delay or 0.0
    if options.delay is not None:
        raise InvalidCall(f"{owner}: give delay or run_at, not both")
    if not isinstance(run_at, datetime) or run_at.tzinfo is None:
        raise InvalidCall(
            f"{owner}: run_at is a datetime with a time zone, such as datetime.now(UTC) + timedelta(hours=1)"
        )
    return max(0.0, (run_at - datetime.now(UTC)).total_seconds())


def check_seconds(what: str, value: object, least: float, error: type[TaskError]) -> None:
    """Raise `error` if it is less, or no number."""
    if not as_seconds(value) >= least:
        raise error(f"{what} is a number of seconds, {least:g} or more, not {value!r:.100}")

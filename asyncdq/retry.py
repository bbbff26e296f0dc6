"""Whether, and when, a task runs again: pure rules, without clock, randomness or I/O."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, cast, get_args

from .errors import ConfigurationError, ProcessDied, TaskTimeout
from .message import Again, Dead, Done, Outcome
from .seconds import as_seconds
from .signals import Reject, Retry, Signal, Snooze

DETAIL_LIMIT = 8192  # characters of a traceback that are kept: dead letters are read by people
ERROR_LIMIT = 1024  # characters of an error's one line

_CALLERS = ("asyncdq.worker.", "asyncdq.arguments", "asyncio.", "concurrent.futures.")
_DELIBERATE = (Signal, TaskTimeout)

Strategy = Literal["fixed", "exponential"]

HOUR = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed task runs again.

    max_attempts  failures, or lost workers in a row, after which a task is buried
    delay         seconds before the second attempt
    strategy      "fixed": always `delay`; "exponential": retry n waits `delay * 2**(n-1)`
    max_delay     seconds that an exponential delay never exceeds; None: an hour, or `delay` if that is longer
    jitter        spread each delay evenly between its half and its whole
    retry_on      errors that are worth another attempt; all others bury the task at once
    give_up_on    errors that bury the task at once, even if `retry_on` names them
    """

    max_attempts: int = 3
    delay: float = 60.0
    strategy: Strategy = "exponential"
    max_delay: float | None = None
    jitter: bool = False
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    give_up_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts is a whole number, 1 or more, not {self.max_attempts!r}")
        for name in ("delay", "max_delay"):
            value: object = getattr(self, name)
            if name == "max_delay" and value is None:
                continue
            if not as_seconds(value) >= 0:
                raise ConfigurationError(f"{name} is a number of seconds, 0 or more, not {value!r:.100}")
        if self.strategy not in get_args(Strategy):
            raise ConfigurationError(f"strategy is 'fixed' or 'exponential', not {self.strategy!r}")
        if type(self.jitter) is not bool:
            raise ConfigurationError(f"jitter is True or False, not {self.jitter!r}")
        for name in ("retry_on", "give_up_on"):
            kinds: object = getattr(self, name)
            if not isinstance(kinds, tuple) or not all(map(is_error_class, cast("tuple[object, ...]", kinds))):
                raise ConfigurationError(f"{name} is a tuple of error classes, such as (OSError,), not {kinds!r}")

    def delay_after(self, attempt: int, roll: float = 1.0) -> float:
        """Seconds to wait after failed attempt number `attempt`; `roll` (0 to 1) is the luck that jitter draws."""
        if self.strategy == "fixed":
            delay = self.delay
        else:
            most = max(HOUR, self.delay) if self.max_delay is None else self.max_delay
            # 2.0**1024 would overflow; any shift that large has passed `most` long before.
            delay = min(self.delay * 2.0 ** min(attempt - 1, 1000), most)
        return delay * (0.5 + 0.5 * roll) if self.jitter else delay


def is_error_class(kind: object) -> bool:
    """Whether this can be raised."""
    return isinstance(kind, type) and issubclass(kind, BaseException)


def decide(error: BaseException | None, attempt: int, policy: RetryPolicy, roll: float = 1.0) -> Outcome:
    """What becomes of a delivery whose attempt number `attempt` ended with `error` (None: it returned)."""
    if error is None:
        return Done()
    if isinstance(error, Snooze):
        return Again(error.delay, counted=False)
    if isinstance(error, Reject) or (isinstance(error, policy.give_up_on) and not isinstance(error, Retry)):
        return bury("rejected", error)
    if not _worth_a_retry(error, policy):
        return bury("not_retried", error)
    if attempt >= policy.max_attempts:
        return bury("attempts", error)
    asked = error.delay if isinstance(error, Retry) else None
    return Again(policy.delay_after(attempt, roll) if asked is None else asked, counted=True)


def _worth_a_retry(error: BaseException, policy: RetryPolicy) -> bool:
    if isinstance(error, (Retry, ProcessDied)):
        return True  # asked for by the task; or nobody's choice, like the death of a worker
    if isinstance(error, Exception):
        return isinstance(error, policy.retry_on)
    # SystemExit, KeyboardInterrupt and a stray CancelledError are accidents of the task like any other.
    return Exception in policy.retry_on or isinstance(error, policy.retry_on)


def bury(reason: str, error: BaseException) -> Dead:
    """The burial of a task that ended with `error`."""
    return Dead(reason, one_line(error), describe(error))


def one_line(error: BaseException) -> str:
    """`ValueError: what it says`, on one line."""
    text = _text_of(error)
    name = type(error).__qualname__
    return clean(f"{name}: {' '.join(text.split())}" if text else name)[:ERROR_LIMIT]


def describe(error: BaseException) -> str:
    """The traceback as people read it; without frames for what a task raised on purpose or we raised for it."""
    if isinstance(error, _DELIBERATE):
        return one_line(error)
    whole = error.__traceback__
    try:
        text = "".join(traceback.format_exception(type(error), error, _from_the_task(whole) or whole))
    except BaseException:  # an error whose own __str__ or __repr__ fails must not hurt its neighbours
        text = one_line(error)
    return clean(text)[-DETAIL_LIMIT:]


def is_of_the_task(error: BaseException) -> bool:
    """Whether `describe` has frames of the task's code, or of what that has called."""
    return not isinstance(error, _DELIBERATE) and _from_the_task(error.__traceback__) is not None


def _from_the_task(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of the worker that called the task; None if there are no others."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_CALLERS):
        trace = trace.tb_next
    return trace


def clean(text: str) -> str:
    """`text` without what databases refuse: NUL and lone surrogates make the whole statement fail."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:  # user code: its __str__ may raise anything, SystemExit too
        return f"(its text cannot be read: {type(broken).__name__})"

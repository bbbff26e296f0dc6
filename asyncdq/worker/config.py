"""What a worker was told to do, checked."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..names import check_queue
from ..ranges import LEAST
from ..retry import RetryPolicy
from ..seconds import as_seconds


@dataclass(frozen=True, slots=True)
class Config:
    """The worker's parameters; durations are seconds. Raises ConfigurationError for what is out of range."""

    queues: tuple[str, ...]
    concurrency: int
    max_tasks: int | None
    burst: bool
    worker_id: str
    heartbeat_interval: float
    grace_period: float
    visibility_timeout: float
    process_pool_size: int | None
    process_pool_max_tasks_per_child: int | None
    claim_ahead: int | None
    retry: RetryPolicy
    timeout: float | None
    attempts_cap: int | None = None
    process_pool_initializer: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        if not self.queues:
            raise ConfigurationError("queues: name at least one queue")
        if len(set(self.queues)) != len(self.queues):
            raise ConfigurationError(f"queues: {', '.join(self.queues)} names a queue twice")
        for queue in self.queues:
            check_queue(queue)
        _at_least("concurrency", self.concurrency, 1)
        _at_least("max_tasks", self.max_tasks, 1)
        _at_least("process_pool_size", self.process_pool_size, 0)
        _at_least("process_pool_max_tasks_per_child", self.process_pool_max_tasks_per_child, 1)
        _crosses("process_pool_initializer", self.process_pool_initializer)
        _at_least("claim_ahead", self.claim_ahead, 0)
        _at_least("attempts_cap", self.attempts_cap, 1)
        _seconds("heartbeat_interval", self.heartbeat_interval, 0.01)
        _seconds("visibility_timeout", self.visibility_timeout, LEAST["visibility_timeout"])
        _seconds("timeout", self.timeout, LEAST["timeout"])
        _seconds("grace_period", self.grace_period, 0.0)
        _of_type("burst", self.burst, bool, "True or False")
        _of_type("retry", self.retry, RetryPolicy, "a RetryPolicy, such as RetryPolicy(max_attempts=5)")
        _of_type("worker_id", self.worker_id, str, "a text")
        if not self.worker_id.isprintable():
            raise ConfigurationError(f"worker_id is a name on one line, not {self.worker_id!r}")


def _of_type(name: str, value: object, kind: type, words: str) -> None:
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} is {words}, not {value!r}")


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and (type(value) is not int or value < least):
        raise ConfigurationError(f"{name} is a whole number, {least} or more, not {value!r}")


def _crosses(name: str, value: Callable[[], object] | None) -> None:
    if value is None:
        return
    try:
        pickle.dumps(value)
    except Exception as error:  # whatever its parts raise
        raise ConfigurationError(f"{name} cannot be sent to a process: {error}; define it at module level") from error
    if not callable(value):
        raise ConfigurationError(f"{name} is a function without parameters, not {value!r}")


def _seconds(name: str, value: float | None, least: float) -> None:
    if value is not None and not as_seconds(value) >= least:
        raise ConfigurationError(f"{name} is a number of seconds, {least:g} or more, not {value!r:.100}")

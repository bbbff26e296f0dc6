"""Tasks: functions that can be called here, or enqueued to be run by a worker elsewhere."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, Generic, ParamSpec, TypeVar

from . import default
from .client import Client
from .errors import InvalidCall
from .message import UNSAID, Call, CallOptions, Enqueued
from .retry import Strategy

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Errors = tuple[type[BaseException], ...]

_signature = cache(inspect.signature)


@cache
def _counts(function: Callable[..., Any]) -> range:
    """How many arguments fit without any name. Most calls are checked by counting; binding takes ten times as long."""
    parameters = _signature(function).parameters.values()
    required = [each for each in parameters if each.default is each.empty]
    if any(each.kind is each.KEYWORD_ONLY for each in required):
        return range(0)
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    open_end = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    most = sys.maxsize if open_end else sum(each.kind in places for each in parameters) + 1
    return range(sum(each.kind in places for each in required), most)


@dataclass(frozen=True, eq=False, repr=False)
class Task(Generic[P, R, T]):
    """A function with the rules for running it. Calling it calls the function, here and now.

    `R` is what a call returns (a coroutine for `async def`), `T` the result. Durations are seconds;
    None leaves a choice to the worker's defaults.
    """

    function: Callable[P, R]
    name: str
    queue: str | None = None
    max_attempts: int | None = None
    retry_delay: float | None = None
    retry_strategy: Strategy | None = None
    retry_max_delay: float | None = None
    retry_jitter: bool | None = None
    retry_on: Errors | None = None
    give_up_on: Errors | None = None
    timeout: float | None = None
    visibility_timeout: float | None = None
    process: bool = False
    options: CallOptions = UNSAID
    client: Client | None = field(default=None, repr=False)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself; nothing is enqueued."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        said, options = _said_of(self, "function", "name", "options", "client"), _said_of(self.options, "queue")
        return f"Task({', '.join([repr(self.name), *said])})" + (f".using({', '.join(options)})" if options else "")

    def bind(self, /, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """The call as a value, for `Client.enqueue_many`. Raises InvalidCall if the arguments do not fit."""
        if kwargs or len(args) not in _counts(self.function):
            try:
                _signature(self.function).bind(*args, **kwargs)
            except TypeError as error:
                raise InvalidCall(f"{self.name}: {error}") from None
        return Call(self.name, args, kwargs, self.options)

    async def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Enqueued[T]:
        """Store the call for a worker to run; returns when it is stored.

        Goes through the client given to `using`, inside a task through its worker, else through the
        client that is open on this event loop, or was opened last in this process, else through one made
        from the settings. Raises InvalidCall, UnserializableArgument, BodyTooLarge, or DriverError.
        """
        call = self.bind(*args, **kwargs)
        sender = self.client or await default.current()
        return (await sender.send([call]))[0]

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> Enqueued[T]:
        """`enqueue` for code outside an event loop; blocks until the call is stored.

        Raises TaskError, too: where the event loop of the client is blocked, or ends meanwhile.
        """
        call = self.bind(*args, **kwargs)
        sender = self.client or default.current_sync()
        return sender.send_sync([call])[0]

    def using(
        self,
        *,
        id: str | None = None,
        queue: str | None = None,
        delay: float | None = None,
        run_at: datetime | None = None,
        max_attempts: int | None = None,
        retry_delay: float | None = None,
        timeout: float | None = None,
        visibility_timeout: float | None = None,
        client: Client | None = None,
    ) -> Task[P, R, T]:
        """The same task with other options for what is enqueued through it; None changes nothing."""
        given: dict[str, Any] = {
            "id": id,
            "queue": queue,
            "delay": delay,
            "run_at": run_at,
            "max_attempts": max_attempts,
            "retry_delay": retry_delay,
            "timeout": timeout,
            "visibility_timeout": visibility_timeout,
        }
        changed = {name: value for name, value in given.items() if value is not None}
        return replace(self, options=replace(self.options, **changed), client=client or self.client)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """As a function is pickled: by its module and name; the options of `using` go along, a client cannot."""
        if self.client is not None:
            raise _unpicklable(
                self, "its client cannot leave this process: say using(client=...) where it is unpickled"
            )
        module, qualname = self.function.__module__, self.qualname
        found: Any = sys.modules.get(module)
        for name in qualname.split("."):
            found = getattr(found, name, None)
        if found is self:
            return qualname
        if isinstance(found, Task) and found.function is self.function:
            return _with_options, (found, self.options)
        raise _unpicklable(self, f"it is not what {module} has as {qualname}, at module level")

    def __copy__(self) -> Task[P, R, T]:
        return self

    def __deepcopy__(self, memo: object) -> Task[P, R, T]:
        return self  # as of any function: not by `__reduce__`, which refuses some

    @property
    def module(self) -> str:
        """The module in which the function stands, under the name by which a process can import it."""
        module = self.function.__module__
        spec = getattr(sys.modules.get(module), "__spec__", None) if module == "__main__" else None
        # Of `python -m package` a spawned process does not import __main__ by itself.
        return spec.name if spec is not None and spec.name.endswith(".__main__") else module

    @property
    def qualname(self) -> str:
        """The function's dotted name within its module."""
        return self.function.__qualname__

    @property
    def is_coroutine(self) -> bool:
        """Whether the function, below its decorators, was written with `async def`."""
        return any(map(inspect.iscoroutinefunction, (self.function, inspect.unwrap(self.function))))


def _said_of(given: Task[..., Any, Any] | CallOptions, *others: str) -> list[str]:
    """`name=value` of each field that is not as it is by itself, but for these others."""
    values = [(each, getattr(given, each.name)) for each in fields(given) if each.name not in others]
    return [f"{each.name}={value!r}" for each, value in values if value != each.default]


def _with_options(task: Task[P, R, T], options: CallOptions) -> Task[P, R, T]:
    return replace(task, options=options)


def _unpicklable(task: Task[..., Any, Any], reason: str) -> Exception:
    from pickle import PicklingError  # lazily: a producer needs none of it

    return PicklingError(f"the task {task.name} cannot be pickled: {reason}")

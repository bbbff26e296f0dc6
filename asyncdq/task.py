"""Tasks: functions that can be called here, or enqueued to be run by a worker elsewhere."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, get_args, overload

from . import default
from .client import Client
from .errors import DuplicateTask, InvalidCall, InvalidTask
from .message import UNSAID, Call, CallOptions, Enqueued
from .names import check_task
from .ranges import check_options
from .retry import Strategy

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Errors = tuple[type[BaseException], ...]

OPTIONS = (
    "queue",
    "max_attempts",
    "retry_delay",
    "retry_strategy",
    "retry_max_delay",
    "retry_jitter",
    "retry_on",
    "give_up_on",
    "timeout",
    "visibility_timeout",
    "process",
)
"""What `@task` takes, beside `name`."""

_registry: dict[str, Task[..., Any, Any]] = {}
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


def registry() -> Mapping[str, Task[..., Any, Any]]:
    """Every task that has been defined in this process, by name."""
    return MappingProxyType(_registry)


@dataclass(frozen=True, eq=False)
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
        client that is open on this event loop, else through one made from the settings. Raises
        InvalidCall, UnserializableArgument, BodyTooLarge, or DriverError.
        """
        call = self.bind(*args, **kwargs)
        sender = self.client or await default.current()
        return (await sender.send([call]))[0]

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> Enqueued[T]:
        """`enqueue` for code outside an event loop; blocks until the call is stored."""
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


class TaskDecorator(Protocol):
    """What `@task(...)` with options returns."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, Coroutine[Any, Any, T], T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Task[P, T, T]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, Coroutine[Any, Any, T], T]: ...
@overload
def task(function: Callable[P, T], /) -> Task[P, T, T]: ...
@overload
def task(
    *,
    name: str | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    retry_delay: float | None = None,
    retry_strategy: Strategy | None = None,
    retry_max_delay: float | None = None,
    retry_jitter: bool | None = None,
    retry_on: type[BaseException] | Errors | None = None,
    give_up_on: type[BaseException] | Errors | None = None,
    timeout: float | None = None,
    visibility_timeout: float | None = None,
    process: bool = False,
) -> TaskDecorator: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a module-level function a task.

    name                the task's name on the wire; default `module.qualname`
    queue               where it is enqueued; default: the client's default queue
    max_attempts        executions in total, the first included; default: the worker's (3)
    retry_delay         seconds before the second attempt; default: the worker's (60)
    retry_strategy      "fixed" or "exponential" (retry n waits `retry_delay * 2**(n-1)`); default: the worker's
    retry_max_delay     seconds that an exponential delay never exceeds; default: the worker's (3600)
    retry_jitter        spread each delay evenly between its half and its whole; default: the worker's (no)
    retry_on            errors that are worth another attempt; default: the worker's (all)
    give_up_on          errors that bury the task at once; default: the worker's (none)
    timeout             seconds after which an attempt is ended; default: the worker's (none)
    visibility_timeout  seconds after which another worker takes over when this one dies; the lease is
                        renewed while the task runs, so it may be far shorter than the task
    process             run it in the worker's process pool: for work that keeps a CPU busy

    Raises InvalidTask for what cannot be a task, DuplicateTask if the name is taken.
    """

    def define(function: Callable[..., Any]) -> Task[..., Any, Any]:
        _check_function(function, options)
        return _register(_make(function, options))

    return define if function is None else define(function)


def _make(function: Callable[..., Any], options: dict[str, Any]) -> Task[..., Any, Any]:
    name = check_task(options.pop("name", None) or default_name(function))
    if unknown := options.keys() - OPTIONS:
        raise InvalidTask(
            f"@task {name}: there is no option {', '.join(sorted(unknown))}; known are {', '.join(OPTIONS)}"
        )
    for key in ("retry_on", "give_up_on"):
        if options.get(key) is not None:
            options[key] = _error_types(name, key, options[key])
    if (strategy := options.get("retry_strategy")) not in (None, *get_args(Strategy)):
        raise InvalidTask(f"{name}: retry_strategy is 'fixed' or 'exponential', not {strategy!r}")
    made = Task[..., Any, Any](function, name, options=CallOptions(queue=options.get("queue")), **options)
    limits = CallOptions(
        queue=made.queue,
        max_attempts=made.max_attempts,
        retry_delay=made.retry_delay,
        timeout=made.timeout,
        visibility_timeout=made.visibility_timeout,
    )
    check_options(limits, f"@task {name}", InvalidTask)
    check_options(CallOptions(retry_delay=made.retry_max_delay), f"@task {name}: retry_max_delay as a", InvalidTask)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        made.__dict__[attribute] = getattr(function, attribute)
    made.__dict__["__wrapped__"] = function
    return made


def _check_function(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    if not inspect.isfunction(function):
        raise InvalidTask(f"@task takes a function written with def or async def, not {function!r}")
    where = _place(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidTask(f"@task on {where}: a generator cannot be a task; return a value instead of yielding")
    inside = function.__qualname__.rpartition("<locals>.")
    if "." in inside[2]:
        raise InvalidTask(f"@task on {where}: a method cannot be a task; move it to a function at module level")
    nested = bool(inside[1]) or function.__name__ == "<lambda>"
    if nested and not options.get("name"):
        raise InvalidTask(f"@task on {where}: a function inside a function needs a name of its own: @task(name=...)")
    if nested and options.get("process"):
        raise InvalidTask(f"@task on {where}: a process task must stand at module level, where a process can import it")


def _error_types(name: str, key: str, given: type[BaseException] | Errors) -> Errors:
    types = given if isinstance(given, tuple) else (given,)
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise InvalidTask(f"{name}: {key} takes error classes, for example (TimeoutError, OSError), not {kind!r}")
    return types


def default_name(function: Callable[..., Any]) -> str:
    """`module.qualname`; for a script, the name it would have if it were imported."""
    module = function.__module__
    if module in ("__main__", "__mp_main__"):  # the second is what a spawned process calls the script
        main = sys.modules[module]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:
            module = spec.name
        elif file is not None:
            module = Path(file).stem
    return f"{module.removesuffix('.__main__')}.{function.__qualname__}"


def _register(new: Task[..., Any, Any]) -> Task[..., Any, Any]:
    old = _registry.get(new.name)
    # A module that is reloaded, or imported both as a script and by its name, defines the same task again.
    if old is not None and _place(old.function) != _place(new.function):
        raise DuplicateTask(
            f"two tasks are named {new.name!r}: {_place(old.function)} and {_place(new.function)}; "
            "give one of them another name: @task(name=...)"
        )
    _registry[new.name] = new
    return new


def _place(function: Callable[..., Any]) -> str:
    code = cast(FunctionType, inspect.unwrap(function)).__code__  # a decorator's wrapper is the same for many
    return f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"

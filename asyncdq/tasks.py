"""The tasks of this process: the decorator `@task` makes them, the registry knows them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import FunctionType, MappingProxyType, NoneType
from typing import Any, ParamSpec, Protocol, TypeVar, cast, get_args, overload

from .errors import ConfigurationError, DuplicateTask, InvalidCall, InvalidTask
from .message import UNSAID, CallOptions
from .names import check_task
from .ranges import check_options, check_seconds
from .retry import Strategy, is_error_class
from .task import Errors, Task

P = ParamSpec("P")
T = TypeVar("T")

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
_loads: dict[str, object] = {}  # by which load of its module a task was defined


def registry() -> Mapping[str, Task[..., Any, Any]]:
    """Every task that has been defined in this process, by name."""
    return MappingProxyType(_registry)


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
    max_attempts        failures, or lost workers in a row, after which it is buried; default: the worker's (3)
    retry_delay         seconds before the second attempt; default: the worker's (60)
    retry_strategy      "fixed" or "exponential" (retry n waits `retry_delay * 2**(n-1)`); default: the worker's
    retry_max_delay     seconds that an exponential delay never exceeds; default: the worker's (an hour, or
                        `retry_delay` if that is longer)
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
    name = _name_of(function, options.pop("name", None))
    if unknown := options.keys() - OPTIONS:
        raise InvalidTask(
            f"@task {name}: there is no option {', '.join(sorted(unknown))}; known are name, {', '.join(OPTIONS)}"
        )
    for key in ("retry_on", "give_up_on"):
        if options.get(key) is not None:
            options[key] = _error_types(name, key, options[key])
    if (strategy := options.get("retry_strategy")) not in (None, *get_args(Strategy)):
        raise InvalidTask(f"{name}: retry_strategy is 'fixed' or 'exponential', not {strategy!r}")
    for key in ("retry_jitter", "process"):
        if type(options.get(key, False)) not in (bool, NoneType):
            raise InvalidTask(f"{name}: {key} is True or False, not {options[key]!r}")
    queue = options.get("queue")
    said = UNSAID if queue is None else CallOptions(queue=queue)  # what is UNSAID need not be looked through each time
    made = Task[..., Any, Any](function, name, options=said, **options)
    limits = CallOptions(
        queue=made.queue,
        max_attempts=made.max_attempts,
        retry_delay=made.retry_delay,
        timeout=made.timeout,
        visibility_timeout=made.visibility_timeout,
    )
    try:
        check_options(limits, f"@task {name}", InvalidTask)
    except ConfigurationError as error:
        raise InvalidTask(f"@task {name}: {error}") from None
    if made.retry_max_delay is not None:
        check_seconds(f"@task {name}: retry_max_delay", made.retry_max_delay, 0.0, InvalidTask)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        made.__dict__[attribute] = getattr(function, attribute)
    made.__dict__["__wrapped__"] = function
    return made


def _name_of(function: Callable[..., Any], given: object) -> str:
    try:
        return check_task(default_name(function) if given is None else given)
    except InvalidCall as error:
        raise InvalidTask(f"@task on {_place(function)}: {error}") from None


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
        if not is_error_class(kind):
            raise InvalidTask(f"{name}: {key} takes error classes, for example (TimeoutError, OSError), not {kind!r}")
    return types


def default_name(function: Callable[..., Any]) -> str:
    """`module.qualname`; for a script, the name it would have if it were imported."""
    module = function.__module__
    if module in ("__main__", "__mp_main__") and not _is_typed_in(
        _innermost(function)
    ):  # the second is what a spawned process calls the script
        main = sys.modules[module]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:
            module = spec.name
        elif file is not None:
            module = Path(file).stem
    return f"{module.removesuffix('.__main__')}.{function.__qualname__}"


def _register(new: Task[..., Any, Any]) -> Task[..., Any, Any]:
    old = _registry.get(new.name)
    if old is not None and not _is_redefined(old, new):
        raise DuplicateTask(
            f"two tasks are named {new.name!r}: {_place(old.function)} and {_place(new.function)}; "
            "give one of them another name: @task(name=...)"
        )
    _registry[new.name], _loads[new.name] = new, _load_of(new)
    return new


def _is_redefined(old: Task[..., Any, Any], new: Task[..., Any, Any]) -> bool:
    """Whether the new one takes the place of the old one: its module was edited and loaded again, or imported both as a
    script and by its name; or it was typed in, as a cell of a notebook is."""
    before, now = _innermost(old.function), _innermost(new.function)
    if _place(before) == _place(now) or _is_typed_in(now):
        return True
    same_file = (before.__module__, before.__code__.co_filename) == (now.__module__, now.__code__.co_filename)
    again = before.__globals__ is not now.__globals__ or _loads[new.name] is not _load_of(new)
    return same_file and again


def _is_typed_in(function: FunctionType) -> bool:
    """Whether it comes from no file: at a prompt, or in a cell. What `python -c` runs is a script like any other."""
    file = function.__globals__.get("__file__")
    return function.__module__ == "__main__" and function.__code__.co_filename not in (file, "<string>")


def _load_of(task: Task[..., Any, Any]) -> object:
    """The spec of its module, which is another one each time that it is imported or reloaded."""
    return getattr(sys.modules.get(task.function.__module__), "__spec__", None)


def _place(function: Callable[..., Any]) -> str:
    code = _innermost(function).__code__
    return f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"


def _innermost(function: Callable[..., Any]) -> FunctionType:
    return cast("FunctionType", inspect.unwrap(function))  # a decorator's wrapper is the same for many

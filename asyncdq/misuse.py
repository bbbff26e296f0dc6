"""What was given where a task or a call belongs, and what to write instead. Asked only when that has failed already."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from .errors import InvalidCall
from .message import Call


def no_task(given: object) -> InvalidCall:
    """The error for what `Client.enqueue` cannot take as its task."""
    what, right = _what(given), f"await client.enqueue({_name(given)}, ...)"
    if isinstance(given, Call):
        right += ", or await client.enqueue_many([call])"
    if isinstance(given, str):
        right += ", or, where it cannot be imported, await client.enqueue_many([Call(name, args, kwargs)])"
    return InvalidCall(f"`enqueue` takes a task and its arguments, not {what}; write {right}")


def check_calls(calls: Iterable[object]) -> None:
    """Raise InvalidCall if `Client.enqueue_many` cannot take these because they are no calls."""
    try:
        each = iter(calls)
    except TypeError:
        raise _no_list(calls) from None
    errors = [_no_call(call) for call in each if not isinstance(call, Call)]
    if errors:
        raise errors[0]


def _no_list(given: object) -> InvalidCall:
    what, right = _what(given), "[call]" if isinstance(given, Call) else f"[{_name(given)}.bind(...)]"
    return InvalidCall(f"`enqueue_many` takes a list of calls, not {what}; write enqueue_many({right})")


def _no_call(given: object) -> InvalidCall:
    return InvalidCall(f"`enqueue_many` takes calls, not {_what(given)}; write {_name(given)}.bind(...)")


def _what(given: object) -> str:
    if isinstance(given, Call):
        return f"a call of {given.name} that is bound already"
    if inspect.iscoroutine(given):
        given.close()  # nobody will await it, and Python need not warn of that too
        return f"a coroutine, for {given.__qualname__}(...) calls the function here"
    if hasattr(given, "bind"):
        return f"the task {_name(given)} without its arguments"
    if inspect.isfunction(given):
        return f"the function {given.__qualname__}, which is no task without @task above it"
    return f"{given!r:.100} ({type(given).__name__})"


def _name(given: object) -> str:
    """The name by which the caller probably knows the task."""
    name = given.name if isinstance(given, Call) else getattr(given, "__qualname__", None)
    return name.rpartition(".")[2] if isinstance(name, str) else "task"

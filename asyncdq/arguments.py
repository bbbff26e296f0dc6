"""Fitting arguments to annotations: what a task's parameter names comes back as that type.

A serializer restores plain data and the kinds by itself. A path, an enum, a dataclass or a model
arrives in plain form, and the annotation says what to make of it. So it does for a date, a UUID, a set and the like,
if what wrote the message had plain JSON only.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Optional, ParamSpec, TypeVar, Union, cast, get_args, get_origin
from uuid import UUID

from .errors import InvalidCall
from .matching import Match, match
from .schemas import complaint, making

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Fitter = Callable[[Sequence[Any], Mapping[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
Fit = Callable[[Any], Any]

_CALLABLE: Any = Callable

# What comes back from every serializer as it was, and what takes whatever comes.
_PLAIN: frozenset[Any] = frozenset(
    {None, type(None), Any, object, inspect.Parameter.empty, Ellipsis}
    | {bool, int, float, str, bytes, list, dict, tuple, set, frozenset}
    | {datetime, date, time, timedelta, UUID, Decimal}
    | {abc.Iterable, abc.Collection, abc.Container, abc.Sequence, abc.MutableSequence, abc.Mapping}
    | {abc.MutableMapping, abc.Set, abc.MutableSet, _CALLABLE, abc.Hashable, abc.Sized, Union, types.UnionType}
)


@cache
def fitter(function: Callable[..., Any]) -> Fitter | None:
    """What fits the arguments of a call to the annotations of `function`; None if none of them needs it.

    It raises `InvalidCall` for an argument that does not fit, and never changes what it was given.
    """
    parameters = inspect.signature(function).parameters.values()  # of what is called: a decorator may have changed it
    function = inspect.unwrap(function)
    slots = _Slots()
    for parameter in parameters:
        annotation = _annotation(function, parameter)
        slots.add(parameter, _fit_for(function, parameter.name, annotation))
    return slots.fit if slots.needed else None


def _fit_for(function: Callable[..., Any], name: str, annotation: Any) -> Fit | None:
    if _needs(annotation):
        return _fit(function, name, annotation)
    try:
        is_right = match(annotation)
    except Exception:  # an annotation is any expression of the user's: its class may have no hash, say
        return None
    # pydantic is loaded when the first value needs it: most never do, and a process of the pool starts sooner.
    return None if is_right is None else _unless(is_right, cache(partial(_fit, function, name, annotation)))


def _unless(is_right: Match, make: Callable[[], Fit | None]) -> Fit:
    def fit(value: Any) -> Any:
        if is_right(value):
            return value
        convert = make()
        return value if convert is None else convert(value)

    return fit


class _Slots:
    """Which fit belongs to which place of a call; None where nothing is to be done."""

    def __init__(self) -> None:
        self.needed = False
        self.count = 0  # of those that have a place
        self.placed: list[tuple[int, Fit]] = []
        self.rest: Fit | None = None
        self.named: dict[str, Fit | None] = {}
        self.others: Fit | None = None

    def add(self, parameter: inspect.Parameter, fit: Fit | None) -> None:
        self.needed = self.needed or fit is not None
        if parameter.kind is parameter.VAR_POSITIONAL:
            self.rest = fit
        elif parameter.kind is parameter.VAR_KEYWORD:
            self.others = fit
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            if fit is not None:
                self.placed.append((self.count, fit))
            self.count += 1
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            self.named[parameter.name] = fit

    def fit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        fitted = [*args]
        for place, fit in self.placed:
            if place < len(fitted):
                fitted[place] = fit(fitted[place])
        if self.rest is not None:
            fitted[self.count :] = map(self.rest, fitted[self.count :])
        return tuple(fitted), {name: self._named(name, value) for name, value in kwargs.items()} if kwargs else {}

    def _named(self, name: str, value: Any) -> Any:
        fit = self.named.get(name, self.others)
        return value if fit is None else fit(value)


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """What the parameter is annotated with; nothing if that cannot be known at run time."""
    # One at a time: a name that exists only for type checkers must not spoil its neighbours.
    alone = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    scope = getattr(function, "__globals__", {})
    try:
        hint = typing.get_type_hints(alone, globalns=scope, include_extras=True)[parameter.name]
        return hint if parameter.default is not None else cast("Any", Optional)[hint]  # many write `when: date = None`
    except Exception:  # an annotation is any expression of the user's
        return parameter.annotation if not isinstance(parameter.annotation, str) else Any


def _needs(annotation: Any) -> bool:
    """Whether a serializer alone cannot bring back what the annotation names."""
    if isinstance(annotation, (str, TypeVar, ParamSpec)):
        return False
    if hasattr(annotation, "__supertype__"):  # NewType
        return _needs(annotation.__supertype__)
    origin = get_origin(annotation)
    if origin is Literal or origin is _CALLABLE:
        return False
    if origin in _PLAIN and origin is not None:
        return any(_needs(part) for part in get_args(annotation))
    return not _is_plain(annotation)


def _is_plain(annotation: Any) -> bool:
    try:
        return annotation in _PLAIN
    except TypeError:  # not hashable: an annotation that is no type
        return True


def _fit(function: Callable[..., Any], name: str, annotation: Any) -> Fit | None:
    """What turns one argument into what `annotation` names; None if pydantic cannot read the annotation."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError  # here: a producer never pays for its import
    from pydantic_core import SchemaValidator

    try:
        # In a tuple, because a dataclass by itself refuses a configuration, and takes one from around it.
        adapter: TypeAdapter[tuple[Any]] = TypeAdapter(
            cast("Any", types.GenericAlias(tuple, (_eager(annotation),))),
            config=ConfigDict(arbitrary_types_allowed=True),
        )
    except Exception:  # an annotation is any expression of the user's: then the value stays as it came
        return None
    if not adapter.pydantic_complete:  # a field of it names what exists only for type checkers
        return None
    schema: Any = adapter.core_schema
    made = making(schema)
    validate = adapter.validate_python if made is schema else SchemaValidator(made).validate_python

    def fit(value: Any) -> Any:
        try:
            # A model was written by the names of its fields; others may write it by its aliases.
            return validate((value,), by_alias=True, by_name=True)[0]
        except ValidationError as error:
            where, what = complaint(error, value, schema)
            raise _misfit(function, name, annotation, value, f"{name}{where}: {what}") from None

    return fit


def _eager(annotation: Any) -> Any:
    # pydantic makes a generator of an iterable, which a task could go through once only.
    is_lazy = get_origin(annotation) in (abc.Iterable, abc.Collection, abc.Container)
    return types.GenericAlias(list, get_args(annotation)) if is_lazy else annotation


def _misfit(function: Callable[..., Any], name: str, annotation: Any, value: Any, complaint: str) -> InvalidCall:
    return InvalidCall(
        f"{function.__qualname__}(): {name} is {inspect.formatannotation(annotation)}, and {value!r:.100} "
        f"({type(value).__name__}) does not fit: {complaint}"
    )

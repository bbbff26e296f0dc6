"""Whether a value is what an annotation names already, asked of what a serializer can bring back by itself.

What Python enqueues nearly always is. A date that came as text, or a set that came as a list, from the command line or
from another language, is not. Plain numbers, text, bytes, lists and maps are not looked at.
"""

from __future__ import annotations

import types
from collections import abc
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

Match = Callable[[Any], bool]

_TEXTS: frozenset[Any] = frozenset({datetime, date, time, timedelta, UUID, Decimal})
_SETS: frozenset[Any] = frozenset({set, frozenset, abc.Set, abc.MutableSet})
_LISTS: frozenset[Any] = frozenset(
    {list, abc.Iterable, abc.Collection, abc.Container, abc.Sequence, abc.MutableSequence}
)
_ONCE: frozenset[Any] = frozenset({abc.Iterable, abc.Container})  # to look into some of these is to use them up
_MAPS: frozenset[Any] = frozenset({dict, abc.Mapping, abc.MutableMapping})


def match(annotation: Any) -> Match | None:
    """What tells whether a value is what `annotation` names already; None if anything may stay as it came."""
    while hasattr(annotation, "__supertype__"):  # NewType
        annotation = annotation.__supertype__
    kind, parts = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Union or kind is types.UnionType:
        return _one_of(parts)
    if not isinstance(kind, type):
        return None
    if kind in _TEXTS:
        return _instance(kind)
    if kind is tuple:
        return _tuple(parts)
    if kind in _SETS or kind in _LISTS:
        return _items(kind, match(parts[0]) if parts else None)
    return _map(kind, *map(match, parts)) if kind in _MAPS and len(parts) == 2 else None


def _instance(kind: type) -> Match:
    """`isinstance` with this type, without a call of Python's: a list may have many."""
    return kind.__instancecheck__


def _one_of(members: tuple[Any, ...]) -> Match | None:
    if Any in members or not any(map(match, members)):
        return None
    matches = [match(member) or _plainly(member) for member in members]

    def is_one(value: Any) -> bool:
        for each in matches:  # noqa: SIM110 - a generator takes twice as long
            if each(value):
                return True
        return False

    return is_one


def _plainly(member: Any) -> Match:
    """Whether a value is a plain member of a union; anything is one that cannot be asked for."""
    if get_origin(member) is Literal:
        allowed = get_args(member)
        return lambda value: value in allowed
    kind = type(None) if member is None else get_origin(member) or member
    if kind is float:
        return lambda value: isinstance(value, (float, int))
    return _instance(kind) if isinstance(kind, type) else lambda value: True


def _tuple(parts: tuple[Any, ...]) -> Match:
    if len(parts) == 2 and parts[1] is Ellipsis:
        return _items(tuple, match(parts[0])) or _instance(tuple)
    matches = [(place, each) for place, part in enumerate(parts) if (each := match(part)) is not None]
    if not matches:
        return _instance(tuple)
    is_tuple, least = _instance(tuple), matches[-1][0]
    return lambda value: is_tuple(value) and len(value) > least and all(each(value[place]) for place, each in matches)


def _items(kind: type, item: Match | None) -> Match | None:
    is_kind = _instance(kind)
    if item is None:
        return None if kind in _LISTS else is_kind
    if kind in _ONCE:
        return lambda value: is_kind(value) and (not hasattr(value, "__len__") or all(map(item, value)))
    return lambda value: is_kind(value) and all(map(item, value))


def _map(kind: type, key: Match | None, item: Match | None) -> Match | None:
    if key is None and item is None:
        return None
    is_kind = _instance(kind)
    return lambda value: (
        is_kind(value) and (key is None or all(map(key, value))) and (item is None or all(map(item, value.values())))
    )

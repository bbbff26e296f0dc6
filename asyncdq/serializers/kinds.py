"""The types that a body carries beyond plain data: one table for every serializer of ours.

A kind is written as its plain form under a mark: an extension code in msgpack, a tag in JSON. Values of
other types are first taken to a known type (`known`): an enum to its value, a path to its text, a
dataclass or pydantic model to a map, a subclass to its base. What they were, the annotation of the
task's parameter says again on the other side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from ..errors import UnserializableArgument

DEPTH = 100  # levels of nesting that every reader takes; with it a circle is found before the stack ends
INTEGERS = range(-(2**63), 2**64)  # what both formats carry without a mark


@dataclass(frozen=True, slots=True)
class Kind:
    """One type: `write` gives its plain form, which is a `plain`; `read` takes it back."""

    code: int
    name: str
    cls: type
    plain: type
    write: Callable[[Any], object]
    read: Callable[[Any], object]

    def restore(self, plain: object) -> object:
        """The value. Raises what its type raises for a plain form that is wrong."""
        if type(plain) is not self.plain:
            raise ValueError(f"{self.name} is written as {self.plain.__name__}, not {type(plain).__name__}")
        return self.read(plain)

    def rebuilt(self, value: object) -> object:
        """`value`, which is of a subclass, as one of the type itself."""
        return self.read(self.write(value))


def _zoned(value: time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError("the offset of a time in this zone depends on the date: pass a datetime")
    return time.isoformat(value)


def _members(value: Iterable[object]) -> list[object]:
    members = list(value)
    if not all(map(stays_hashable, members)):
        raise TypeError("its members are written as maps, which no set can hold when it is read: pass a list")
    return members


MAP_AS_KEY = "one of its keys is written as a map, which is no key when it is read"


def stays_hashable(value: object) -> bool:
    """Whether what is read of this key or member can be one."""
    plain = known(value)
    if isinstance(plain, tuple):
        return all(map(stays_hashable, cast("tuple[object, ...]", plain)))
    return not isinstance(plain, dict)


def _list(value: Iterable[object]) -> list[object]:
    return list(value)


# Codes and names are stored in messages: they never change their meaning, and new ones are appended.
KINDS = (
    Kind(1, "int", int, str, hex, lambda text: int(text, 16)),  # decimal digits would take quadratic time
    Kind(2, "datetime", datetime, str, datetime.isoformat, datetime.fromisoformat),
    Kind(3, "date", date, str, date.isoformat, date.fromisoformat),
    Kind(4, "time", time, str, _zoned, time.fromisoformat),
    Kind(5, "timedelta", timedelta, list, lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)),
    Kind(6, "uuid", UUID, str, UUID.__str__, UUID),
    Kind(7, "decimal", Decimal, str, Decimal.__str__, Decimal),
    Kind(8, "set", set, list, _members, set),
    Kind(9, "frozenset", frozenset, list, _members, frozenset),
    Kind(10, "tuple", tuple, list, _list, tuple),
)
BY_CODE = {kind.code: kind for kind in KINDS}
BY_NAME = {kind.name: kind for kind in KINDS}
BY_TYPE = {kind.cls: kind for kind in KINDS}

# How a value of a subclass becomes one of its base. Methods of the base, not of the subclass: a
# subclass may have made __str__ or isoformat something for people.
_BASES: dict[type, Callable[[Any], object]] = {
    **{kind.cls: kind.rebuilt for kind in KINDS},
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes,
    bytearray: bytes,
    memoryview: bytes,
    list: list,
    dict: dict,
}
_KNOWN = frozenset({type(None), bool, int, float, str, bytes, list, dict, *BY_TYPE})


def known(value: object) -> object:
    """`value`, taken to a type that is plain or a kind. Raises TypeError if there is none."""
    while type(value) not in _KNOWN:
        value = _step(value)
    return value


def _step(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    dump = getattr(type(value), "model_dump", None)  # a pydantic model, without importing pydantic to ask
    if dump is not None:
        return dump(value, round_trip=True)
    for base in type(value).__mro__:
        if base in _BASES:
            return _BASES[base](value)
    raise TypeError("no serializer of asyncdq knows this type")


def refusal(value: object, error: Exception) -> UnserializableArgument:
    """The error for `value`, whose writing failed with `error`: it names the type, the place and the remedy."""
    found = _find(value, (), frozenset())
    if found is None:
        return UnserializableArgument(f"cannot write {_name(value)}: {error}")
    path, culprit, reason = found
    return UnserializableArgument(
        f"cannot write {_name(culprit)} at {_place(value, path)}: {reason}; pass plain data "
        "(numbers, text, bytes, lists, dicts, dates, dataclasses, models), or an id to find it by"
    )


_Found = tuple[tuple[object, ...], object, str]


def _find(value: object, path: tuple[object, ...], parents: frozenset[int]) -> _Found | None:
    """Where the first thing that cannot be written stands, what it is, and why."""
    if id(value) in parents or len(path) > DEPTH:
        return path, value, "it contains itself" if id(value) in parents else f"it is nested over {DEPTH} levels deep"
    try:
        plain = known(value)
        plain = BY_TYPE[type(plain)].write(plain) if type(plain) in BY_TYPE else plain
        if isinstance(plain, str):
            plain.encode()
    except UnicodeEncodeError:
        return path, value, "its text has half of a surrogate pair"
    except Exception as error:  # code of the user's ran: a property, a field serializer
        return path, value, str(error) or type(error).__name__
    for key, child in _children(plain):
        if found := _find(child, (*path, key), parents | {id(value)}):
            return found
    if isinstance(plain, dict) and not all(map(stays_hashable, cast("dict[object, object]", plain))):
        return path, value, MAP_AS_KEY
    return None


def _children(plain: object) -> Iterable[tuple[object, object]]:
    if isinstance(plain, dict):
        items = cast("dict[object, object]", plain)
        return [*((f"key {_short(key)}", key) for key in items), *items.items()]
    return enumerate(cast("list[object]", plain)) if isinstance(plain, list) else ()


def _place(value: object, path: tuple[object, ...]) -> str:
    """`argument 0['when']` for the arguments of a call; the bare path for anything else."""
    if isinstance(value, list) and len(cast("list[object]", value)) == 2 and len(path) >= 2:
        return f"argument {path[1]!r}" + "".join(f"[{_short(key)}]" for key in path[2:12])
    return "the value" + "".join(f"[{_short(key)}]" for key in path[:12])


def _short(key: object) -> str:
    return repr(key)[:40] if isinstance(key, (str, int)) else f"<{_name(key)}>"


def _name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

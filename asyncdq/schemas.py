"""What pydantic's schemas lack for arguments: subclasses of plain types are made, and errors repeat no key of a map.

A schema is the tree of dicts, lists and tuples that pydantic makes of an annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import isclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pydantic import ValidationError

_SEQUENCES: tuple[Any, ...] = (list, tuple)
_AS_BYTES = (bytearray, memoryview)
_VALUES = ("default", "metadata", "serialization", "config", "expected", "members")


def making(schema: Any) -> Any:
    """`schema`, in which a class that pydantic knows nothing of is made of what was written for it.

    A subclass of `str` arrives as text: it is called with that. It is the same object if there is no such class.
    """
    kind = cast("Any", type(schema))
    if kind is dict:
        if schema.get("type") == "is-instance" and isclass(schema["cls"]):
            return _made_if_need_be(schema)
        parts = {key: part if _is_value(schema, key) else making(part) for key, part in schema.items()}
        return parts if any(parts[key] is not part for key, part in schema.items()) else schema
    if kind in _SEQUENCES:
        members = [making(part) for part in schema]
        return kind(members) if any(a is not b for a, b in zip(members, schema, strict=True)) else schema
    return schema


def _made_if_need_be(schema: Any) -> Any:
    from pydantic_core import core_schema  # here: a producer never pays for its import

    make: Callable[[Any], Any] = partial(_made, schema["cls"])
    # Strictly it is not: where the annotation names the plain type as well, the value stays as it came.
    return core_schema.lax_or_strict_schema(core_schema.no_info_before_validator_function(make, schema), schema)


def _made(cls: Any, value: object) -> Any:
    """`value` as one of `cls`; as it is if `cls` is not written so, or not made so."""
    if isinstance(value, cls) or not _is_written_as(type(value), cls):
        return value
    try:
        return cls(value)
    except ValueError:  # it says what is wrong with the value
        raise
    except Exception:  # a constructor of the user's, which may want something else
        return value


def _is_written_as(plain: type, cls: Any) -> bool:
    if plain is bytes and cls in _AS_BYTES:
        return True
    return issubclass(cls, plain) or (plain is str and issubclass(cls, PurePath))


def complaint(error: ValidationError, value: Any, schema: Any) -> tuple[str, str]:
    """Where in `value` the first thing that does not fit stands, and what is wrong with it.

    An error reaches logs, dead letters and events. So it tells places in lists, and names of fields, which are
    code, but no key of a map.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    code = frozenset(_names(schema))
    where, here = "", value
    for part in first["loc"][1:]:
        if part in code or (isinstance(part, int) and isinstance(here, (list, tuple, set, frozenset))):
            where += f"[{part!r}]"
        elif isinstance(here, Mapping):
            where += "[...]"
        here = _inside(here, part)
    # pydantic repeats the tag that a map has.
    is_tag = first["type"] == "union_tag_invalid"
    return where, "Input tag does not match any of the expected tags" if is_tag else first["msg"]


def _inside(value: Any, part: Any) -> Any:
    try:
        return value[part]
    except Exception:  # `part` names a member of a union, say
        return value


def _names(schema: Any) -> Iterator[str]:
    """The names of all fields, and their aliases."""
    if isinstance(schema, dict):
        node = cast("dict[str, Any]", schema)
        fields = node.get("fields")
        names = [node.get("validation_alias"), node.get("name"), *(fields or ())]
        yield from (name for name in names if isinstance(name, str))
        schema = [part for key, part in node.items() if not _is_value(node, key)]
    if isinstance(schema, (list, tuple)):
        for part in cast("list[Any]", schema):
            yield from _names(part)


def _is_value(node: dict[str, Any], key: str) -> bool:
    """Whether there may be a value of the user's, and no schema. In a map of fields each key is the name of one."""
    return isinstance(node.get("type"), str) and key in _VALUES

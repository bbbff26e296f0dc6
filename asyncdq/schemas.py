"""What an error of pydantic says of an argument: no key of a map, for that is data.

A schema is the tree of dicts, lists and tuples that pydantic makes of an annotation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pydantic import ValidationError

_VALUES = ("default", "metadata", "serialization", "config", "expected", "members")


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
        node = cast(dict[str, Any], schema)
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

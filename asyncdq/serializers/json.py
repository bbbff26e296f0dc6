"""JSON, for messages that people and other languages read.

What JSON lacks is an object with one key, `{"$date": "2026-01-31"}`. Besides the kinds there are three
tags for what MessagePack has by itself: `$bytes` (base64), `$float` (nan, inf, -inf) and `$map` (a list
of pairs: a dict whose keys are not all text, or one that could be taken for a tag).
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, NoReturn, cast

from ..errors import UndecodableBody
from .kinds import BY_NAME, BY_TYPE, DEPTH, INTEGERS, MAP_AS_KEY, known, refusal, stays_hashable

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


class JsonSerializer:
    """Keeps every kind of `kinds.KINDS` as a tagged object."""

    content_type = "application/json"

    def dumps(self, value: object) -> bytes:
        """`value` as JSON in UTF-8. Raises `UnserializableArgument`."""
        try:
            return _encode(_plain(value, 0)).encode()
        except Exception as error:  # code of the user's runs: a property, a field serializer
            raise refusal(value, error) from error

    def loads(self, data: bytes) -> object:
        """What was written. Raises `UndecodableBody`."""
        try:
            return json.loads(data.decode(), object_hook=_restore, parse_constant=_refuse)
        except Exception as error:  # the bytes are anybody's: parser and types raise whatever they like
            raise UndecodableBody(f"the arguments are not readable JSON: {error!s:.100}") from None


def _plain(value: object, depth: int) -> object:
    value = known(value)
    if value is None or isinstance(value, (str, bool)) or (isinstance(value, int) and value in INTEGERS):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if depth == DEPTH:
        raise ValueError(f"it is nested over {DEPTH} levels deep")
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return _object(cast("dict[object, object]", value), depth + 1)
    kind = BY_TYPE[type(value)]
    return {f"${kind.name}": _plain(kind.write(value), depth + 1)}


def _object(value: dict[object, object], depth: int) -> object:
    if not all(map(stays_hashable, value)):
        raise TypeError(MAP_AS_KEY)
    pairs = [(_plain(key, depth), _plain(item, depth)) for key, item in value.items()]
    if all(isinstance(key, str) for key, _ in pairs) and not (len(pairs) == 1 and str(pairs[0][0]).startswith("$")):
        return dict(cast("list[tuple[str, object]]", pairs))
    return {"$map": pairs}


def _restore(value: dict[str, Any]) -> object:
    if len(value) != 1:
        return value
    [(key, plain)] = value.items()
    if not key.startswith("$"):
        return value
    if key in _ONLY_HERE:
        return _ONLY_HERE[key](plain)
    if key[1:] not in BY_NAME:
        raise ValueError(f"the tag {key!r:.60} is not known here")
    return BY_NAME[key[1:]].restore(plain)


def _read_float(text: str) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise ValueError("$float is nan, inf or -inf")
    return float(text)


def _read_map(pairs: list[Any]) -> dict[object, object]:
    if type(pairs) is not list or any(type(pair) is not list or len(pair) != 2 for pair in pairs):
        raise ValueError("$map is a list of pairs")
    return dict(cast("list[tuple[object, object]]", pairs))


_ONLY_HERE: dict[str, Callable[[Any], object]] = {
    "$bytes": lambda text: b64decode(text, validate=True),
    "$float": _read_float,
    "$map": _read_map,
}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

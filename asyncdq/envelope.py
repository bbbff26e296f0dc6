"""The wire format: MessagePack `[version, task, content_type, args, options, headers]`; see docs/wire-format.md."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from msgpack import Unpacker, packb, unpackb

from .errors import NewerEnvelope, UndecodableBody, UnserializableArgument
from .message import UNSAID, CallOptions
from .ranges import LEAST
from .value import value

VERSION = 1
LONGEST_ARRAY = 1024  # elements; lists are allocated as they are announced, so an announcement is not believed
_SHAPE = (list, int, str, str, bytes, dict, dict)

_NUMBER = frozenset({float, int})
_BOUNDS: dict[str, tuple[frozenset[type], float, float]] = {  # the types, the least value, and what it stays below
    "enqueued_at": (_NUMBER, 0, 253_402_300_800),  # the year 10000: it becomes a datetime
    "max_attempts": (frozenset({int}), 1, math.inf),
    "retry_delay": (_NUMBER, LEAST["retry_delay"], math.inf),
    "timeout": (_NUMBER, LEAST["timeout"], math.inf),
    "visibility_timeout": (_NUMBER, LEAST["visibility_timeout"], math.inf),
}
_CARRIED = [*_BOUNDS][1:]  # of the options of a call; the others are for the backend


@value
class Envelope:
    """One call as it is stored. `args` is what the serializer of `content_type` wrote.

    `options` hold what the call says about itself: `enqueued_at` (unix seconds), `max_attempts`,
    `retry_delay`, `timeout`, `visibility_timeout` (seconds). Keys that are not known are kept.
    """

    task: str
    content_type: str
    args: bytes
    options: Mapping[str, Any]
    headers: Mapping[str, str]


def carried(options: CallOptions) -> dict[str, Any]:
    """What travels in the envelope of a call with these options, which is made now."""
    travelling: dict[str, Any] = {"enqueued_at": time.time()}
    if options is UNSAID:
        return travelling
    for name in _CARRIED:
        value = getattr(options, name)
        if value is not None:
            travelling[name] = value
    return travelling


def encode(envelope: Envelope) -> bytes:
    """The body of a message. Raises `UnserializableArgument` for a text or option that MessagePack lacks."""
    try:
        return packb(
            [
                VERSION,
                envelope.task,
                envelope.content_type,
                envelope.args,
                dict(envelope.options),
                dict(envelope.headers),
            ]
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise UnserializableArgument(f"cannot write the envelope of task {envelope.task!r}: {error}") from error


def decode(body: bytes) -> Envelope:
    """What `encode` was given. Raises `NewerEnvelope`, and `UndecodableBody` for everything else that is wrong."""
    try:
        fields: Any = unpackb(body, strict_map_key=False, max_array_len=LONGEST_ARRAY)
        shape = tuple(map(type, (fields, *fields)))
    except Exception as error:  # the bytes are anybody's, and the parser raises whatever it likes
        raise _misfit(body, str(error)) from error
    if shape != _SHAPE or fields[0] != VERSION:
        raise _misfit(body, f"version {VERSION} is [{VERSION}, text, text, bytes, map, map]")
    _, task, content_type, args, options, headers = fields
    _check_options(options)
    if headers:
        _check_headers(headers)
    return Envelope(task, content_type, args, options, headers)


def _misfit(body: bytes, reason: str) -> NewerEnvelope | UndecodableBody:
    version = _version_of(body)
    if type(version) is int and version > VERSION:
        return NewerEnvelope(f"the body has version {version}, this asyncdq reads {VERSION}: upgrade the worker")
    return UndecodableBody(f"the body is not an envelope: {reason}")


def _version_of(body: bytes) -> object:
    """The first element of the array, however broken the rest is."""
    try:
        unpacker = Unpacker()
        unpacker.feed(body[:16])  # an array header and an integer
        unpacker.read_array_header()
        return unpacker.unpack()
    except Exception:  # then it has none
        return None


def _check_options(options: dict[Any, Any]) -> None:
    for key, option in options.items():
        if type(key) is not str:
            raise UndecodableBody("a key in the options of the envelope is not a text")
        bounds = _BOUNDS.get(key)
        if bounds and not (type(option) in bounds[0] and bounds[1] <= option < bounds[2]):
            raise UndecodableBody(f"the option {key} of the envelope cannot be {option!r:.80}")


def _check_headers(headers: dict[Any, Any]) -> None:
    for key, text in headers.items():
        if type(key) is not str or type(text) is not str:
            raise UndecodableBody("the headers of the envelope are not all texts")

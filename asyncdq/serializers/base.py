"""What the core asks of a serializer."""

from __future__ import annotations

from typing import Protocol


class Serializer(Protocol):
    """Turns the arguments of a call, `[[positional, ...], {name: value, ...}]`, into bytes and back."""

    @property
    def content_type(self) -> str:
        """Names the format in every message, so that a worker knows how to read it."""
        ...

    def dumps(self, value: object) -> bytes:
        """`value` as bytes. Raises `UnserializableArgument`."""
        ...

    def loads(self, data: bytes) -> object:
        """What `dumps` was given. Raises `UndecodableBody`; never runs what the data names, pickle aside."""
        ...

"""Pickle, for arguments that no other format carries. Opt-in on both sides.

Who can write to the queue can then run any code in its workers: a pickle is a program. So a worker reads it only
if it was started with this serializer, and whoever makes one is warned in the log, once per process.
"""

from __future__ import annotations

import logging
import pickle
from functools import cache

from ..errors import UndecodableBody
from .kinds import refusal

_log = logging.getLogger("asyncdq.serializers")

PROTOCOL = 5
"""Fixed: workers of any supported Python read it."""


class PickleSerializer:
    """Keeps whatever pickle keeps: the classes must be importable where the task runs."""

    content_type = "application/x-python-pickle"

    def __init__(self) -> None:
        _warn()

    def dumps(self, value: object) -> bytes:
        """`value` as a pickle. Raises `UnserializableArgument`."""
        try:
            return pickle.dumps(value, PROTOCOL)
        except Exception as error:  # code of the user's runs: __reduce__, __getstate__
            raise refusal(value, error) from error

    def loads(self, data: bytes) -> object:
        """What was written; runs what it names. Raises `UndecodableBody`."""
        try:
            return pickle.loads(data)
        except Exception as error:  # a pickle may raise whatever it likes
            raise UndecodableBody(f"the arguments are not a readable pickle: {error}") from error


@cache
def _warn() -> None:
    _log.warning("pickle: whoever can write to the queue can run any code in workers that read it")

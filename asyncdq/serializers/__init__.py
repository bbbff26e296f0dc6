"""From a serializer's name to the serializer, imported only when it is asked for."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any, cast

from ..errors import ConfigurationError
from .base import Serializer

__all__ = ["BUILT_IN", "Serializer", "load"]

BUILT_IN = {
    "msgpack": "asyncdq.serializers.msgpack:MsgpackSerializer",
    "json": "asyncdq.serializers.json:JsonSerializer",
    "pickle": "asyncdq.serializers.pickle:PickleSerializer",
}


def load(name: Serializer | str) -> Serializer:
    """The serializer itself, or the one called `name`: msgpack, json, pickle, or a path, `package.module:attribute`.

    A class is instantiated without arguments; of the three there is one instance. Raises `ConfigurationError`.
    """
    return _built_in(name) if isinstance(name, str) and name in BUILT_IN else _load(name)


@lru_cache
def _built_in(name: str) -> Serializer:
    return _load(name)


def _load(name: Serializer | str) -> Serializer:
    found = _resolve(name, BUILT_IN.get(name, name)) if isinstance(name, str) else name
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # a constructor of the user's may raise anything
            raise ConfigurationError(f"serializer {name!r}: cannot create it without arguments: {error}") from error
    missing = _missing(found)
    if missing:
        raise ConfigurationError(
            f"serializer {name!r} lacks {', '.join(missing)}; it needs content_type (a text), dumps and loads"
        )
    return cast("Serializer", found)


def _resolve(name: str, path: str) -> Any:
    module, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module or module.startswith(".") or not attribute:
        raise ConfigurationError(
            f"unknown serializer {name!r}: use {', '.join(BUILT_IN)}, or the path of your own, package.module:attribute"
        )
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # a module of the user's may raise anything while it is imported
        raise ConfigurationError(f"serializer {name!r}: cannot import {module}: {error}") from error
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise ConfigurationError(f"serializer {name!r}: {module} has no {attribute}") from None
    return found


def _missing(found: Any) -> list[str]:
    content_type = getattr(found, "content_type", None)
    missing = [] if isinstance(content_type, str) and content_type else ["content_type"]
    return missing + [name for name in ("dumps", "loads") if not callable(getattr(found, name, None))]

"""The rules for queue names and message ids, the same on every driver, and the making and showing of them."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from unicodedata import category

from .errors import ConfigurationError, InvalidCall

_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[\x21-\x7e]{1,128}")


# Random bytes are asked for many ids at a time: one call of the system for each took as long as all the rest.
_noise: deque[bytes] = deque()


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as text: unique without asking anyone, and sorted by the time of its making."""
    try:
        noise = _noise.pop()
    except IndexError:
        drawn = os.urandom(10 * 256)
        _noise.extend(drawn[start : start + 10] for start in range(10, len(drawn), 10))
        noise = drawn[:10]
    time_part, text = f"{time.time_ns() // 1_000_000:012x}", noise.hex()
    return f"{time_part[:8]}-{time_part[8:]}-7{text[:3]}-{'89ab'[noise[9] & 3]}{text[3:6]}-{text[6:18]}"


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_noise.clear)


def shown(text: str) -> str:
    """The text on one line, with escapes for what could forge a line of a log or command a terminal."""
    if text.isprintable():
        return text
    return "".join(each.encode("unicode_escape").decode() if _commands(each) else each for each in text)


def _commands(character: str) -> bool:
    kind = category(character)
    return kind[0] == "C" or kind in ("Zl", "Zp")  # controls, direction marks, lone surrogates; ends of lines


def check_task(name: object) -> str:
    """The name itself; raises InvalidCall if it is empty or would not stand on one line."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InvalidCall(f"task name {name!r}: use the printable name that @task gave it, such as app.tasks.send")
    return name


def check_queue(name: object) -> str:
    """The name itself; raises ConfigurationError if no driver would take it."""
    if not isinstance(name, str) or not _QUEUE.fullmatch(name):
        raise ConfigurationError(f"queue name {name!r}: use 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    return name


def check_id(id: object) -> str:
    """The id itself; raises InvalidCall if no driver would take it."""
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise InvalidCall(f"id {id!r}: use 1 to 128 printable ASCII characters without spaces")
    return id

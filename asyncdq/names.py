"""The rules for queue names and message ids, the same on every driver, and the making of ids."""

from __future__ import annotations

import os
import re
import time

from .errors import ConfigurationError, InvalidCall

_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[\x21-\x7e]{1,128}")


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as text: unique without asking anyone, and sorted by the time of its making."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (noise >> 62 & 0xFFF) << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


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

"""Events as they travel: one flat JSON object each, and as one line for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any, cast

from .types import TYPES, Event, TaskError, TaskEvent

CHANNEL = "asyncdq:events"

_FIELDS = {kind: tuple(each.name for each in fields(kind)) for kind in TYPES.values()}
_NEEDED = {
    kind: {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
    | {"id", "at"}
    for kind in TYPES.values()
}
_NUMBER = (int, float)
_NONE = type(None)
_ACCEPTED: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "at": _NUMBER,
    "worker_id": (str, _NONE),
    "task_id": (str,),
    "task": (str,),
    "queue": (str,),
    "attempt": (int,),
    "max_attempts": (int, _NONE),
    "duration": _NUMBER,
    "error": (dict, _NONE),
    "delay": _NUMBER,
    "counted": (bool,),
    "reason": (str,),
}
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def facts(event: Event) -> dict[str, Any]:
    """The event as plain data, with its name as `event`."""
    found: dict[str, Any] = {"event": event.event}
    for name in _FIELDS[type(event)]:
        found[name] = getattr(event, name)
    if (error := found.get("error")) is not None:
        found["error"] = {"type": error.type, "message": error.message}
    return found


def dumps(event: Event) -> bytes:
    """The event as JSON, in ASCII."""
    return _encode(facts(event)).encode()


def loads(data: bytes) -> Event | None:
    """What was written; None for anything else. Fields that are not known here are left out."""
    try:
        said: Any = json.loads(data)
        return _event(cast("dict[str, Any]", said)) if isinstance(said, dict) else None
    except Exception:  # the bytes are anybody's
        return None


def _event(said: dict[str, Any]) -> Event | None:
    kind = TYPES.get(said.get("event", ""))
    if kind is None or not said.keys() >= _NEEDED[kind]:
        return None
    known = {name: said[name] for name in _FIELDS[kind] if name in said}
    if not all(isinstance(value, _ACCEPTED[name]) for name, value in known.items()):
        return None
    if known.get("error") is not None:
        known["error"] = TaskError(str(known["error"]["type"]), str(known["error"]["message"]))
    return kind(**known)


def line(event: Event) -> str:
    """The event for people, without its time: `task_completed tasks.greet 01a2... attempt 1 of 3 in 0.004 s`."""
    said = facts(event)
    if not isinstance(event, TaskEvent):
        return f"{event.event} {event.worker_id}"
    words = [event.event, event.task, event.task_id]
    if event.attempt:
        words.append(f"attempt {event.attempt}" + (f" of {event.max_attempts}" if event.max_attempts else ""))
    else:
        words.append(f"in {event.queue}")
    if "duration" in said:
        words.append(f"after {said['duration']:.3f} s")
    if "delay" in said:
        words.append(f"again in {said['delay']:g} s")
    if "reason" in said:
        words.append(f"({said['reason']})")
    if said.get("error"):
        words.append(": ".join(part for part in said["error"].values() if part))
    return " ".join(words)


def clock(event: Event) -> str:
    """When it happened, in this machine's time zone."""
    return datetime.fromtimestamp(event.at).isoformat(" ", "milliseconds")

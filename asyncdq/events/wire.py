"""Events as they travel: one flat JSON object each, and as one line for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, cast

from ..names import shown
from .types import TYPES, Event, TaskError, TaskEvent

CHANNEL = "asyncdq:events"

LAST = 253_402_128_000.0
"""Unix seconds of the last days that calendars have, in any time zone."""

_FIELDS = {kind: tuple(each.name for each in fields(kind)) for kind in TYPES.values()}
_NEEDED = {
    kind: {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
    | {"id", "at"}
    for kind in TYPES.values()
}
_ABOUT_TASKS = {each.name for each in fields(TaskEvent)}
_OUTCOME = {kind: tuple(name for name in names if name not in _ABOUT_TASKS) for kind, names in _FIELDS.items()}
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
        found[name] = _plain(getattr(event, name))
    return found


def dumps(event: Event) -> bytes:
    """The event as JSON, in ASCII."""
    if not isinstance(event, TaskEvent):
        return _encode(facts(event)).encode()
    # Written by hand: a worker has two of these per task, and an encoder takes three times as long.
    said = (
        f"{_beginning(event.event, event.worker_id, event.task, event.queue, event.max_attempts)}"
        f',"id":{_quoted(event.id)},"at":{event.at!r},"task_id":{_quoted(event.task_id)},"attempt":{event.attempt}'
    )
    for name in _OUTCOME[type(event)]:
        value = getattr(event, name)
        said += f',"{name}":{value!r}' if type(value) is float else f',"{name}":{_encode(_plain(value))}'
    return f"{said}}}".encode()


@lru_cache(maxsize=1000)
def _beginning(event: str, worker_id: str | None, task: str, queue: str, max_attempts: int | None) -> str:
    """What is the same in all events of this kind about one task's runs, as JSON that goes on."""
    said = {"event": event, "worker_id": worker_id, "task": task, "queue": queue, "max_attempts": max_attempts}
    return _encode(said)[:-1]


def _plain(value: Any) -> Any:
    return {"type": value.type, "message": value.message} if isinstance(value, TaskError) else value


def loads(data: bytes) -> Event | None:
    """What was written; None for anything else. Fields that are not known here are left out."""
    try:
        said: Any = json.loads(data)
        return _event(cast("dict[str, Any]", said)) if isinstance(said, dict) else None
    except Exception:  # the bytes are anybody's
        return None


def _fits(value: object, accepted: tuple[type, ...]) -> bool:
    return isinstance(value, accepted) and (not isinstance(value, bool) or bool in accepted)  # True is an int, too


def _event(said: dict[str, Any]) -> Event | None:
    kind = TYPES.get(said.get("event", ""))
    if kind is None or not said.keys() >= _NEEDED[kind]:
        return None
    known = {name: said[name] for name in _FIELDS[kind] if name in said}
    if not all(_fits(value, _ACCEPTED[name]) for name, value in known.items()):
        return None
    if not 0 <= known["at"] < LAST or not all(math.isfinite(known.get(name, 0)) for name in ("duration", "delay")):
        return None  # or an OverflowError, of an integer that is no float
    if known.get("error") is not None:
        known["error"] = TaskError(str(known["error"]["type"]), str(known["error"]["message"]))
    return kind(**known)


def line(event: Event) -> str:
    """The event for people, without its time: `task_completed tasks.greet 01a2... attempt 1 of 3 in 0.004 s`."""
    said = facts(event)
    if not isinstance(event, TaskEvent):
        return shown(f"{event.event} {event.worker_id}")
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
    return shown(" ".join(words))


def clock(event: Event) -> str:
    """When it happened, in this machine's time zone."""
    return datetime.fromtimestamp(event.at).isoformat(" ", "milliseconds")

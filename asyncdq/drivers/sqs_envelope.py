"""How a message stands in SQS, and what a delivery remembers of it.

The body is base64, because SQS takes text only. One message attribute, `asyncdq`, holds what changes:

    1 ATTEMPT LOST HOP ID        version, `attempt`, the `lost` of before this sending, HOP and the id

`lost` is LOST + ApproximateReceiveCount - 1. Neither number can be lowered in a message that is there, so every
outcome but Done sends the message anew and then deletes the old one. HOP is 0, or the milliseconds after its
sending at which a message is due whose delay is over SQS's limit: it is received too early, and sent again with
what is left, by the clock of SQS. HOP is -1 in what a purge found and spared, because of its last receiver.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any

from ..message import Dead, DeadLetter, Delivery, Message, Outcome, executions

ATTRIBUTE = "asyncdq"
SYSTEM = ["ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SentTimestamp"]

LARGEST = 256 * 1024
"""Characters of one message, and of one batch. AWS takes four times as much since 2025, older emulators do not."""

RESERVED = 8 * 1024
"""Of these for the attribute, and for what a dead letter says."""

MOST_BODY = (LARGEST - RESERVED) // 4 * 3

_EMPTY = "-"  # SQS takes no empty body, and base64 has no such character
_VERSION = "1"
_SPARED = -1


@dataclass(slots=True, eq=False)
class Claim:
    """The receipt: `deadline` is the loop's time until which surely nobody else is given the message."""

    handle: str
    received: float
    deadline: float
    again: bool = False  # somebody had it before, and has said nothing of it
    outcome: Outcome | None = None
    copied: bool = False
    told: bool = True


@dataclass(frozen=True, slots=True)
class Hop:
    """A message that was received before it is due: to be sent again with `rest` seconds of delay."""

    handle: str
    rest: float
    entry: Mapping[str, Any]


def text(body: bytes) -> str:
    """A body as SQS takes it."""
    return base64.b64encode(body).decode() or _EMPTY


def untext(said: str) -> bytes:
    """The body again; what is no base64 was not written by us, and comes as it is."""
    try:
        return b"" if said == _EMPTY else base64.b64decode(said, validate=True)
    except (binascii.Error, ValueError):
        return said.encode()


def entry(
    body: str, id: str, attempt: int, lost: int, delay: float, longest: int, spared: bool = False
) -> dict[str, Any]:
    """What is sent, but for its number in the batch."""
    seconds = ceil(max(delay, 0.0))
    hop = _SPARED if spared else 0 if seconds <= longest else ceil(delay * 1000)
    said = f"{_VERSION} {attempt} {lost} {hop} {id}"
    return {
        "MessageBody": body,
        "DelaySeconds": min(seconds, longest),
        "MessageAttributes": {ATTRIBUTE: {"DataType": "String", "StringValue": said}},
    }


def first(message: Message, longest: int) -> dict[str, Any]:
    """What is sent for a new message."""
    return entry(text(message.body), message.id, 1, 0, message.delay, longest)


def size(sent: Mapping[str, Any]) -> int:
    """Characters of an entry, as SQS counts them."""
    return len(sent["MessageBody"]) + len(ATTRIBUTE) + 6 + len(sent["MessageAttributes"][ATTRIBUTE]["StringValue"])


def received(
    message: Mapping[str, Any], queue: str, now: float, hidden: int, date: str, longest: int
) -> Delivery | Hop:
    """What a received message is; `now` is the time before it was asked for, `date` what the answer says."""
    system: Mapping[str, str] = message.get("Attributes", {})
    count = int(system.get("ApproximateReceiveCount", 1))
    handle: str = message["ReceiptHandle"]
    said: str = message.get("MessageAttributes", {}).get(ATTRIBUTE, {}).get("StringValue", "")
    try:
        id, attempt, lost, hop = _read(said)
    except ValueError:
        id, attempt, lost, hop = str(message["MessageId"]), 1, 0, 0
    if hop > 0:
        rest = max(0.0, (hop - _waited(system, count, date)) / 1000)
        return Hop(handle, rest, entry(message["Body"], id, attempt, lost, rest, longest))
    claim = Claim(handle, now, now + hidden, again=count > 1 or hop == _SPARED)
    return Delivery(id, queue, untext(message["Body"]), attempt, lost + count - 1, claim)


def _read(said: str) -> tuple[str, int, int, int]:
    """What our attribute says. Raises ValueError if somebody else has written it: then the body is theirs as well."""
    version, attempt, lost, hop, id = said.split(" ", 4)
    if version != _VERSION:
        raise ValueError(version)
    return id, int(attempt), int(lost), int(hop)


def _waited(system: Mapping[str, str], count: int, date: str) -> float:
    """Milliseconds since the sending by the clock of SQS; never more than there were."""
    seen = float(system.get("ApproximateFirstReceiveTimestamp", 0))
    if count > 1 and date:  # somebody received it before; the answer's date is later, and cut to whole seconds
        seen = max(seen, parsedate_to_datetime(date).timestamp() * 1000)
    return seen - float(system.get("SentTimestamp", seen))


def obituary(delivery: Delivery, outcome: Dead) -> dict[str, Any]:
    """What is sent to the queue of the dead letters; what does not fit is cut from the detail, then the error."""
    said = {"reason": outcome.reason, "error": outcome.error, "detail": outcome.detail}
    said["attempts"] = str(executions(delivery, outcome.reason))
    body = text(delivery.body)
    for part in ("detail", "error"):
        over = len(json.dumps(said)) + len(body) - LARGEST + RESERVED // 4
        if over > 0:
            said[part] = _cut(said[part], over)
    return entry(json.dumps({**said, "body": body}), delivery.id, delivery.attempt, 0, 0.0, 0)


def _cut(said: str, over: int) -> str:
    """The text without its end, so that its JSON is shorter by `over`."""
    while said and over > 0:
        over -= len(json.dumps(said[-64:])) - 2
        said = said[:-64]
    return said


def letter(message: Mapping[str, Any], queue: str) -> DeadLetter | None:
    """A received dead letter; None for what we have not written."""
    try:
        said = json.loads(message["Body"])
        id: str = message["MessageAttributes"][ATTRIBUTE]["StringValue"].split(" ", 4)[4]
        died_at = int(message["Attributes"]["SentTimestamp"]) / 1000
        return DeadLetter(
            id=id,
            queue=queue,
            body=untext(said["body"]),
            reason=said["reason"],
            error=said["error"],
            detail=said["detail"],
            attempts=int(said["attempts"]),
            died_at=died_at,
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return None

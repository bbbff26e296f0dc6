"""What a message looks like in RabbitMQ: the body as it is, everything else in its properties.

- `correlation_id` is our id. `message_id` is new with every publish: the client library finds returns by it.
- `attempt` and `lost` are headers, where they are not 1 and 0.
- `x-delivery-count`, the broker's header, says how often this copy came back without an outcome. RabbitMQ 4 counts some
  of that in `x-acquired-count` only. What either says of a copy that was fetched adds to `lost`; of one that was pushed
  it is taken as 1 at most: see `rabbitmq_lane.py`.
- `reason`, `error`, `detail`, `attempts`, `died` are headers of a dead letter; `died` in microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

from ..message import Dead, DeadLetter, Delivery, Message, executions
from .rabbitmq_link import Incoming, Properties

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One publish: where to, and what."""

    exchange: str
    key: str
    queue: str
    body: bytes
    properties: Any


def properties(id: str, headers: Mapping[str, Any]) -> Any:
    """Durable, with our id."""
    return Properties(
        delivery_mode=2, message_id=f"{next(_numbers)}", correlation_id=id, headers=dict(headers) if headers else None
    )


def first(message: Message) -> Any:
    """The properties of a message that is enqueued."""
    return properties(message.id, {})


def again(id: str, attempt: int, lost: int) -> Any:
    """The properties of a message that goes round once more."""
    headers = {"attempt": attempt} if attempt != 1 else {}
    return properties(id, headers | ({"lost": lost} if lost else {}))


def buried(delivery: Delivery, outcome: Dead) -> Any:
    """The properties of a dead letter."""
    return properties(
        delivery.id,
        {
            "reason": outcome.reason,
            "error": outcome.error,
            "detail": outcome.detail,
            "attempts": executions(delivery, outcome.reason),
            "died": time.time_ns() // 1000,
        },
    )


def delivery(queue: str, message: Incoming, receipt: Any, *, pushed: bool) -> Delivery:
    """What the core is given."""
    headers = _headers(message)
    returns = max(_number(headers, "x-delivery-count", 0), _number(headers, "x-acquired-count", 0))
    lost = _number(headers, "lost", 0)
    lost = max(lost, min(returns, 1)) if pushed else lost + returns
    id = message.header.properties.correlation_id or ""
    return Delivery(id, queue, message.body, _number(headers, "attempt", 1), lost, receipt)


def letter(queue: str, message: Incoming) -> DeadLetter:
    """A dead letter as it was buried."""
    headers = _headers(message)
    return DeadLetter(
        message.header.properties.correlation_id or "",
        queue,
        message.body,
        str(headers.get("reason", "")),
        str(headers.get("error", "")),
        str(headers.get("detail", "")),
        _number(headers, "attempts", 0),
        _number(headers, "died", 0) / 1e6,
    )


def _headers(message: Incoming) -> Mapping[str, Any]:
    return cast("Mapping[str, Any] | None", message.header.properties.headers) or {}


def _number(headers: Mapping[str, Any], name: str, default: int) -> int:
    """A number in a header that anybody may have written."""
    value = headers.get(name, default)
    return value if isinstance(value, int) and 0 <= value < 2**53 else default  # one more has to fit into a header

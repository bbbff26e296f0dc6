"""What is enqueued in a small world: ready-made messages, and what must become of each."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

from asyncdq.envelope import Envelope, encode
from asyncdq.message import Message
from asyncdq.serializers.msgpack import MsgpackSerializer

from .dice import pick, roll
from .kinds import ATTEMPTS, DONE, killer_kind
from .records import Promise
from .size import Size

QUEUES = ("high", "low")
_ARGS = MsgpackSerializer()


class Draft(NamedTuple):
    """A message, when it is enqueued, and what must become of it."""

    at: float
    message: Message
    promise: Promise


def draft(size: Size, id: str, most: int, killer: bool, hold: float | None, freezes: bool) -> Draft:
    """A message of any kind that may be lost or fail `most` times. `hold` is the longest that its task may run:
    one that is frozen with its worker for longer has failed once more."""
    kind = killer_kind(pick((0.0, 0.3, 5.0))) if killer else pick(size.kinds)(most)
    ends, longest = kind.ends, math.inf
    if hold is not None and not kind.stubborn:
        ends = ATTEMPTS if kind.seconds > hold else ends | ATTEMPTS if freezes else ends
        longest = hold + 0.1
    if freezes and kind.timeout is not None:
        ends |= DONE  # a worker that is frozen when a process begins counts from when it hears of that
    args = (f"{id}c",) if kind.args == ("child",) else kind.args
    lease = pick((4.0, 9.0, 30.0)) if roll() < size.odd else None
    body = _body(kind.task.name, args, most, kind.timeout, lease)
    delay = pick((0.01, 1.0, 6.0)) if roll() < size.odd else 0.0
    at = roll() * 5.0 if roll() < size.later else 0.0
    return Draft(at, Message(id, pick(QUEUES), body, delay), Promise(ends, most, kind.stubborn, longest))


@lru_cache(maxsize=10_000)
def _body(name: str, args: tuple[Any, ...], most: int, timeout: float | None, lease: float | None) -> bytes:
    options = {"enqueued_at": 1.0, "max_attempts": most, "timeout": timeout, "visibility_timeout": lease}
    carried = {option: value for option, value in options.items() if value is not None}
    return encode(Envelope(name, _ARGS.content_type, _ARGS.dumps([list(args), {}]), carried, {}))

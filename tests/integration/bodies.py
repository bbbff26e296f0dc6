"""Messages as somebody else may have written them: given to a driver directly, past the client and its checks."""

from __future__ import annotations

import msgpack

from asyncdq.message import Message
from asyncdq.names import new_id

from .workers import Site


def envelope(task: str, args: object = ((), {}), version: int = 1) -> bytes:
    """The body of a message that names this task."""
    return msgpack.packb([version, task, "application/msgpack", msgpack.packb(args), {}, {}])


async def put(site: Site, *bodies: bytes) -> list[str]:
    """The ids of messages with these bodies, stored now."""
    messages = [Message(new_id(), "default", body) for body in bodies]
    await site.client.driver.enqueue(messages)
    return [message.id for message in messages]

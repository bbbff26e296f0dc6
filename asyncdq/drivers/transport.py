"""What can be known of a connection's transport: whether what was written has left, and whether anything has come.

What has left this process does not die with it; and what has come may be the end of the connection.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def telling(sent: Callable[[], None], transport: object, answer: Awaitable[T]) -> T:
    """The answer to a request that is written to the transport, all of it, before `answer` first waits.

    `sent` hears in the next turn of the event loop, if nothing is left in the transport by then.
    """

    def look() -> None:
        if has_left(transport):
            sent()

    looking = asyncio.get_running_loop().call_soon(look)
    try:
        return await answer
    except BaseException:
        looking.cancel()  # perhaps nothing was written
        raise


def transport_of(connection: object) -> Any:
    """That of a connection which keeps its stream writer to itself, as those of redis-py and aiomysql do."""
    return getattr(getattr(connection, "_writer", None), "transport", None)


def has_left(transport: Any) -> bool:
    """Whether all that was written to it is with the kernel. False where that cannot be seen."""
    if transport is None or transport.is_closing() or transport.get_write_buffer_size():
        return False
    if transport.get_extra_info("ssl_object") is None:
        return True
    # What is encrypted waits in the transport below, of which uvloop tells nothing.
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return below is not None and not below.get_write_buffer_size()


def is_silent(transport: Any) -> bool:
    """Whether its connection has nothing to read, not even its end. False where that cannot be seen."""
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is None or not hasattr(select, "poll"):  # Windows has none
        return False
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)

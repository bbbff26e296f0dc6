"""Calls on one connection to Redis: what is alone goes out at once, and not into a connection that has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop

from asyncdq.drivers.redis_address import parse
from asyncdq.drivers.redis_wire import Wire
from asyncdq.errors import ConnectionLost
from tests.servers import Server

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

on_redis = pytest.mark.parametrize("queue_url", ["redis"], indirect=True)


def wire_to(url: str, timeout: float = 5.0) -> Wire:
    address, _ = parse(url, {})
    return Wire(address, timeout)


@on_redis
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["at-once", "after-a-pause"])
def test_a_server_that_hangs_up_after_its_answer_costs_the_next_call_nothing(
    queue_url: str, loop: str, pause: float
) -> None:
    async def call_and_be_left() -> list[bytes]:
        wire, answers = wire_to(queue_url), []
        for _ in range(5):
            answers.append(await wire.call(b"QUIT"))
            time.sleep(0.02 + pause)  # noqa: ASYNC251 - its end comes, and the loop has no turn in which it could notice
            answers.append(await wire.call(b"PING"))
        await wire.close()
        return answers

    make: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]
    with asyncio.Runner(loop_factory=make) as runner:
        assert runner.run(call_and_be_left()) == [b"OK", b"PONG"] * 5


@on_redis
async def test_calls_arrive_in_their_order_whether_they_go_alone_or_together(queue_url: str) -> None:
    wire, sent = wire_to(queue_url), 0
    for together in (1, 1, 3, 1, 50, 2, 1) * 10:
        calls = [wire.call(b"RPUSH", b"order", b"%d" % number) for number in range(sent, sent + together)]
        sent += together
        await calls[together // 2]  # some of the others are still under way when the next ones come
    order = await wire.call(b"LRANGE", b"order", b"0", b"-1")
    await wire.close()
    assert order == [b"%d" % number for number in range(sent)]


@on_redis
async def test_a_call_that_is_alone_is_answered_before_the_connection_is_closed(queue_url: str) -> None:
    wire = wire_to(queue_url)
    await wire.call(b"PING")
    alone = wire.call(b"ECHO", b"last")
    await wire.close()
    assert await alone == b"last"
    with pytest.raises(ConnectionLost, match="was closed"):
        await wire.call(b"PING")


@pytest.mark.parametrize("own_server", ["redis"], indirect=True)
async def test_a_call_that_is_alone_has_an_end_where_there_is_no_answer(own_server: Server) -> None:
    wire = wire_to(own_server.url, timeout=0.5)
    await wire.call(b"PING")
    own_server.pause()
    with pytest.raises(ConnectionLost, match="did not answer in time"):
        await wire.call(b"PING")
    own_server.resume()
    assert await wire.call(b"PING") == b"PONG"
    await wire.close()

"""A RabbitMQ that dies, freezes, takes no messages, or permits its user little."""

from __future__ import annotations

import asyncio
import gc
import shlex
import time
from pathlib import Path

import pytest

from asyncdq.drivers.rabbitmq import RabbitMQDriver
from asyncdq.errors import ConnectionLost
from asyncdq.message import Again, Dead, Delivery, Done, Message
from tests.servers.native import Native
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import control
from tests.servers.server import Server

from .outage import ready_again

pytestmark = pytest.mark.parametrize("own_server", ["rabbitmq"], indirect=True)

LONG = 60.0
SUSPENDED = "sys:suspend(element(1, Q)).", "sys:resume(element(1, Q))."
STOPPED = "ra:stop_server(quorum_queues, Q).", "ra:restart_server(quorum_queues, Q)."
DEPLOYMENT = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"


def message(id: str, queue: str = "work", delay: float = 0.0) -> Message:
    return Message(id, queue, b"", delay)


async def claim(driver: RabbitMQDriver, queue: str = "work") -> list[Delivery]:
    return await driver.dequeue({queue: 500}, 500, LONG)


async def produce(driver: RabbitMQDriver, stored: list[str], queue: str = "others") -> None:
    """Enqueue until that fails."""
    while True:
        id = f"{len(stored)}"
        await driver.enqueue([message(id, queue)])
        stored.append(id)


async def test_a_delayed_message_survives_its_producer_and_the_brokers_restart(own_server: Server) -> None:
    async with RabbitMQDriver(own_server.url) as producer:
        await producer.enqueue([message("a", delay=1.9)])
    due = time.monotonic() + 1.8
    own_server.restart()
    async with RabbitMQDriver(own_server.url) as driver:
        await driver.wait(["work"], 10)
        assert time.monotonic() > due
        assert [each.id for each in await claim(driver)] == ["a"]


async def test_a_connection_that_broke_takes_receipts_and_shelf_with_it(own_server: Server) -> None:
    async with RabbitMQDriver(own_server.url) as driver:
        await driver.enqueue([message("a"), message("b"), message("c")])
        (a,) = await driver.dequeue({"work": 1}, 1, LONG)
        own_server.kill9()
        own_server.start()
        await ready_again(driver)
        assert await driver.extend([a], LONG) == [a]
        assert await driver.settle([(a, Done())]) == [a]
        found: dict[str, int] = {}
        async with asyncio.timeout(20):
            while found.keys() != {"a", "b", "c"}:
                found |= {each.id: each.lost for each in await claim(driver)}
        assert found["a"] == 1


async def test_a_server_that_dies_is_an_error_for_who_calls_and_nobody_else(own_server: Server) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with RabbitMQDriver(own_server.url) as driver:
        await driver.enqueue([message("a")])
        (a,) = await claim(driver)
        calls = [
            driver.stats("work"),
            driver.dead("work", 9),
            driver.enqueue([message("b")]),
            driver.settle([(a, Done())]),
        ]
        under_way = [asyncio.create_task(call) for call in calls]
        own_server.kill9()
        await asyncio.gather(*under_way, driver.stats("work"), return_exceptions=True)
        with pytest.raises(ConnectionLost):
            await driver.stats("work")
    gc.collect()
    assert told == []


async def test_a_frozen_server_is_noticed_by_who_only_waits(own_server: Server) -> None:
    async with RabbitMQDriver(f"{own_server.url}?heartbeat=1", timeout=1.0) as driver:
        waiter = asyncio.create_task(driver.wait(["work"], LONG))
        await asyncio.sleep(0.5)  # nothing announces that a wait has begun
        own_server.pause()
        try:
            async with asyncio.timeout(15):
                await waiter
        finally:
            own_server.resume()


async def test_a_broker_that_is_short_of_memory_takes_nothing_and_says_so(own_server: Server) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("needs rabbitmqctl on this machine")
    async with RabbitMQDriver(own_server.url, timeout=1.5) as driver:
        await driver.enqueue([message("a")])
        control(own_server.url, "set_vm_memory_high_watermark", "absolute", "1")
        with pytest.raises(ConnectionLost, match="short of memory or disk"):
            await produce(driver, [])  # the alarm comes with the next look at the memory, which is soon
        (a,) = await claim(driver)  # who consumes is not stopped
        assert await driver.settle([(a, Done())]) == []
        control(own_server.url, "set_vm_memory_high_watermark", "absolute", "1GB")
        await ready_again(driver)


async def test_who_waits_for_the_end_of_an_alarm_goes_on_when_the_connection_ends_first(own_server: Server) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("needs rabbitmqctl on this machine")
    async with Proxy(own_server.url) as proxy, RabbitMQDriver(proxy.url, timeout=LONG) as driver:
        await driver.enqueue([message("a")])
        control(own_server.url, "set_vm_memory_high_watermark", "absolute", "1")
        async with asyncio.timeout(20):
            calls: list[asyncio.Task[object]] = []
            while not calls or calls[-1].done():  # the alarm comes with the next look at the memory, which is soon
                calls.append(asyncio.create_task(driver.enqueue([message(f"b{len(calls)}")])))
                await asyncio.wait(calls[-1:], timeout=0.2)
        calls.append(asyncio.create_task(driver.enqueue([message("c")])))
        control(own_server.url, "set_vm_memory_high_watermark", "absolute", "1GB")
        proxy.reset()
        async with asyncio.timeout(20):
            await calls.pop()
        await asyncio.wait(calls)


async def test_a_queue_that_is_slow_to_answer_does_not_count_as_empty(own_server: Server) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("needs rabbitmqctl on this machine")
    async with RabbitMQDriver(own_server.url) as driver:
        await driver.enqueue([message("a")])
        assert (await driver.stats("work")).ready == 1
        # The process that is the queue takes nothing for longer than the 0.25 s after which the broker says 0.
        suspended = "P = whereis('%2F_asyncdq:work'), sys:suspend(P), timer:sleep(600), sys:resume(P)."
        slow = asyncio.create_task(asyncio.to_thread(control, own_server.url, "eval", suspended))
        longest = 0.0
        while not slow.done():
            asked = time.monotonic()
            assert (await driver.stats("work")).ready == 1
            longest = max(longest, time.monotonic() - asked)
        await slow
        assert longest > 0.25


@pytest.mark.parametrize(
    ("name", "breaking", "mending"),
    [
        pytest.param("sick", *SUSPENDED, id="no-answer"),
        pytest.param("sick", *STOPPED, id="no-process"),
        pytest.param("sick:redelivered", *SUSPENDED, id="half-of-it"),
    ],
)
async def test_a_queue_that_is_out_of_order_does_not_hold_up_the_others(
    own_server: Server, name: str, breaking: str, mending: str
) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("needs rabbitmqctl on this machine")
    both, sick = {"sick": 5, "well": 5}, f"Q = {{'%2F_asyncdq:{name}', node()}}, "
    async with RabbitMQDriver(own_server.url, timeout=1.0) as driver:
        await driver.wait(list(both), 0.1)  # all that is declared is there
    async with RabbitMQDriver(own_server.url, timeout=1.0) as driver:
        await driver.enqueue([message("a", "well"), message("b", "sick")])
        control(own_server.url, "eval", sick + breaking)
        with pytest.raises(ConnectionLost):
            await driver.dequeue(both, 5, LONG)
        async with asyncio.timeout(20):
            while not (claimed := await driver.dequeue(both, 5, LONG)):
                await driver.wait(list(both), 1)
            with pytest.raises(ConnectionLost, match="the queue 'sick' may be out of order"):
                await driver.dequeue({"sick": 5}, 5, LONG)
        control(own_server.url, "eval", sick + mending)
        async with asyncio.timeout(20):
            while len(claimed) < 2:
                await driver.wait(list(both), 1)
                claimed += await driver.dequeue(both, 5, LONG)
        claimed += await driver.dequeue(both, 5, LONG)
        assert [each.id for each in claimed] == ["a", "b"]
        assert await driver.extend(claimed, LONG) == []  # no try has broken the connection of the others
        assert await driver.settle([(each, Done()) for each in claimed]) == []
        assert [(await driver.stats(queue)).ready for queue in both] == [0, 0]


async def test_a_limit_of_connections_is_waited_out_by_who_was_let_in_before(own_server: Server) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("needs rabbitmqctl on this machine")
    async with RabbitMQDriver(own_server.url, timeout=1.5) as driver:
        await driver.wait(["work"], 0.1)  # it consumes, and has not published yet
        control(own_server.url, "set_vhost_limits", "-p", "/", '{"max-connections": 0}')
        control(own_server.url, "close_all_connections", "maintenance")
        with pytest.raises(ConnectionLost):
            await driver.enqueue([message("a")])
        with pytest.raises(ConnectionLost):
            await driver.dequeue({"work": 1}, 1, LONG)
        control(own_server.url, "clear_vhost_limits", "-p", "/")
        await driver.enqueue([message("b")])
        assert [each.id for each in await claim(driver)] == ["b"]


async def test_a_password_that_is_changed_is_waited_out_by_who_was_let_in_before(own_server: Server) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("needs rabbitmqctl on this machine")
    control(own_server.url, "await_startup")  # it takes connections before that
    control(own_server.url, "add_user", "app", "old")
    control(own_server.url, "set_permissions", "app", ".*", ".*", ".*")
    async with RabbitMQDriver(own_server.url.replace("guest:guest", "app:old"), timeout=1.5) as driver:
        await driver.enqueue([message("a")])
        control(own_server.url, "change_password", "app", "new")
        control(own_server.url, "close_all_connections", "maintenance")
        with pytest.raises(ConnectionLost):
            await driver.enqueue([message("b")])  # it was under way when the connection was closed
        with pytest.raises(ConnectionLost, match="refuses this user and password now"):
            await driver.enqueue([message("b")])
        control(own_server.url, "change_password", "app", "old")
        await ready_again(driver)
        assert "a" in [each.id for each in await claim(driver)]


async def test_the_permissions_of_the_documentation_are_enough(own_server: Server) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("needs rabbitmqctl on this machine")
    (line,) = [line for line in DEPLOYMENT.read_text().splitlines() if "rabbitmqctl" in line]
    control(own_server.url, "await_startup")  # it takes connections before that
    control(own_server.url, "add_user", "app", "secret")
    control(own_server.url, *shlex.split(line)[1:])
    async with RabbitMQDriver(own_server.url.replace("guest:guest", "app:secret")) as driver:
        await driver.enqueue([message("a"), message("b", delay=0.2)])
        for _ in range(2):
            await driver.wait(["work"], 10)
            (each,) = await driver.dequeue({"work": 1}, 1, LONG)
            assert await driver.settle([(each, Again(0.2, counted=True))]) == []
            await driver.wait(["work"], 10)
            (again,) = await driver.dequeue({"work": 1}, 1, LONG)  # the other one, if that is due as well by now
            assert await driver.settle([(again, Dead("rejected", ""))]) == []
        assert sorted(await driver.requeue("work", ["a", "b"])) == ["a", "b"]
        assert await driver.purge("work") == 2

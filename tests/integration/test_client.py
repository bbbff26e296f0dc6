import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncdq import Client, task
from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.envelope import decode
from asyncdq.errors import BodyTooLarge, InvalidCall, TaskError, UnserializableArgument
from asyncdq.message import Call, CallOptions
from asyncdq.serializers import load


@task(name="test_client.add", queue="sums")
async def add(a: int, b: int = 0) -> int:
    return a + b


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client.from_url("sqlite://:memory:") as opened:
        yield opened


async def test_what_is_enqueued_says_what_was_called(client: Client) -> None:
    enqueued = await client.enqueue(add, 1, b=2)
    assert (enqueued.queue, enqueued.created) == ("sums", True)
    [delivery] = await client.driver.dequeue({"sums": 1}, 1, 60.0)
    envelope = decode(delivery.body)
    assert (delivery.id, envelope.task) == (enqueued.id, "test_client.add")
    assert load("msgpack").loads(envelope.args) == [[1], {"b": 2}]
    assert list(envelope.options) == ["enqueued_at"]


async def test_only_what_differs_from_the_task_travels(client: Client) -> None:
    await add.using(max_attempts=7, timeout=1.5, queue="other").enqueue(1)
    [delivery] = await client.driver.dequeue({"other": 1}, 1, 60.0)
    options = dict(decode(delivery.body).options)
    del options["enqueued_at"]
    assert options == {"max_attempts": 7, "timeout": 1.5}


async def test_an_id_that_is_waiting_is_stored_once(client: Client) -> None:
    first = await add.using(id="order-1").enqueue(1)
    again = await add.using(id="order-1").enqueue(2)
    assert (first.created, again.created, again.id) == (True, False, "order-1")
    assert (await client.driver.stats("sums")).ready == 1


async def test_enqueue_many_tells_new_from_known_within_one_batch(client: Client) -> None:
    calls = [add.using(id="a").bind(1), add.using(id="b").bind(1), add.using(id="a").bind(1)]
    assert [each.created for each in await client.enqueue_many(calls)] == [True, True, False]


async def test_enqueue_many_takes_more_than_one_batch_of_the_driver(client: Client) -> None:
    stored = await client.enqueue_many(add.bind(number) for number in range(2500))
    assert len({each.id for each in stored}) == 2500
    assert (await client.driver.stats("sums")).ready == 2500


async def test_nothing_of_a_list_is_stored_if_one_call_is_invalid(client: Client) -> None:
    with pytest.raises(InvalidCall):
        await client.enqueue_many([add.bind(1), add.using(delay=-1).bind(2)])
    assert (await client.driver.stats("sums")).ready == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (CallOptions(delay=-1), "delay"),
        (CallOptions(delay=float("nan")), "delay"),
        (CallOptions(max_attempts=0), "max_attempts"),
        (CallOptions(timeout=-5), "timeout"),
        (CallOptions(id="with space"), "printable"),
        (CallOptions(id=""), "printable"),
    ],
)
async def test_an_option_out_of_range_is_an_error_of_the_caller(
    client: Client, options: CallOptions, says: str
) -> None:
    with pytest.raises(InvalidCall, match=says):
        await client.enqueue_many([Call("x", (), {}, options)])


async def test_a_large_message_fails_alone_among_concurrent_ones(client: Client) -> None:
    huge: Call[None] = Call("x", (b"x" * client.driver.limits.body,), {})
    results = await asyncio.gather(
        client.enqueue_many([huge]), *(add.enqueue(number) for number in range(100)), return_exceptions=True
    )
    assert isinstance(results[0], BodyTooLarge)
    assert (await client.driver.stats("sums")).ready == 100


async def test_an_argument_that_cannot_be_written_is_an_error_of_the_caller(client: Client) -> None:
    with pytest.raises(UnserializableArgument, match="object"):
        await client.enqueue_many([Call("x", (object(),), {})])
    assert (await client.driver.queues()) == []


async def test_tasks_use_the_client_that_was_opened_last(client: Client) -> None:
    async with Client.from_url("sqlite://:memory:") as inner:
        await add.enqueue(1)
        assert (await inner.driver.stats("sums")).ready == 1
    await add.enqueue(2)
    assert (await client.driver.stats("sums")).ready == 1


async def test_a_client_leaves_a_driver_that_was_connected_before_connected() -> None:
    async with SQLiteDriver(":memory:") as driver:
        async with Client(driver) as client:
            await client.enqueue(add, 1)
        assert driver.connected
    assert not driver.connected


async def test_a_closed_client_says_so() -> None:
    client = Client.from_url("sqlite://:memory:")
    with pytest.raises(TaskError, match="not open"):
        await client.enqueue(add, 1)
    async with client:
        pass
    await client.close()
    with pytest.raises(TaskError, match="not open"):
        await client.enqueue(add, 1)


async def test_enqueue_sync_on_its_own_event_loop_is_refused_instead_of_hanging(client: Client) -> None:
    with pytest.raises(TaskError, match="await"):
        add.using(client=client).enqueue_sync(1)


async def test_enqueue_sync_from_a_thread_goes_through_the_given_client(client: Client) -> None:
    enqueued = await asyncio.to_thread(add.using(client=client).enqueue_sync, 1)
    assert enqueued.created
    assert (await client.driver.stats("sums")).ready == 1

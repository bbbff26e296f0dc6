import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

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


def plain(a: int) -> int:
    return a


NO_TASKS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: add.bind(1),
        r"a call of test_client.add that .*; write await client.enqueue\(add, .*enqueue_many\(\[call",
    ),
    (lambda: "tasks.f", r"'tasks.f' \(str\); write .* where it cannot be imported, .*\[Call\(name, args, kwargs"),
    (lambda: add(1), r"a coroutine, for add\(...\) calls the function here; write await client.enqueue\(add, "),
    (lambda: plain, "the function plain, which is no task without @task"),
    (lambda: None, r"None \(NoneType\); write await client.enqueue\(task, "),
]


@pytest.mark.parametrize(("make", "says"), NO_TASKS)
async def test_what_is_no_task_is_refused_with_what_to_write(
    client: Client, make: Callable[[], Any], says: str, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(InvalidCall, match=says):
        await client.enqueue(make(), 1)
    assert not recwarn.list


NO_CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: [add.bind(1), add], r"takes calls, not the task add without its arguments; write add.bind\("),
    (lambda: [add(1), add(2)], r"takes calls, not a coroutine, for add\(...\) .*; write add.bind\("),
    (lambda: ["tasks.f"], r"takes calls, not 'tasks.f' \(str\); write task.bind\("),
    (lambda: [plain], r"takes calls, not the function plain, .*; write plain.bind\("),
    (lambda: [None], r"takes calls, not None \(NoneType\)"),
    (lambda: add.bind(1), r"takes a list of calls, not a call of .*; write enqueue_many\(\[call\]\)"),
    (lambda: add, r"takes a list of calls, not the task add .*; write enqueue_many\(\[add.bind"),
    (lambda: add(1), r"takes a list of calls, not a coroutine"),
]


@pytest.mark.parametrize(("make", "says"), NO_CALLS)
async def test_what_are_no_calls_is_refused_with_what_to_write(
    client: Client, make: Callable[[], Any], says: str, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(InvalidCall, match=says):
        await client.enqueue_many(make())
    with pytest.raises(InvalidCall, match=says):
        await asyncio.to_thread(client.send_sync, make())
    assert (await client.driver.queues()) == []
    assert not recwarn.list


async def test_an_error_of_the_same_kind_in_a_serializer_of_the_user_stays_what_it_is() -> None:
    class Broken:
        content_type = "text/broken"

        def dumps(self, value: object) -> bytes:
            raise AttributeError("theirs")

        def loads(self, data: bytes) -> object:
            return data

    async with Client("sqlite://:memory:", serializer=Broken()) as client:
        with pytest.raises(AttributeError, match="theirs"):
            await client.enqueue(add, 1)


async def test_an_error_of_the_same_kind_in_what_makes_the_calls_stays_what_it_is(client: Client) -> None:
    def calls() -> Iterator[Call[Any]]:
        yield add.bind(1)
        raise TypeError("theirs")

    with pytest.raises(TypeError, match="theirs"):
        await client.enqueue_many(calls())


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

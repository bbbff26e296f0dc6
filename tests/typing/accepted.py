"""What a type checker must accept, and the types it must see. Read by test_typing.py, never run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, assert_type

from asyncdq import Call, Client, Enqueued, Retry, RetryPolicy, current_task, task


@task
async def add(left: int, right: int = 0) -> int:
    return left + right


@task
def shout(text: str, *, loud: bool = False) -> str:
    return text.upper() if loud else text


@task(queue="reports", max_attempts=5, retry_delay=30, retry_strategy="exponential", timeout=300)
async def report(day: datetime) -> list[str]:
    return [day.isoformat()]


@task(process=True, retry_on=ValueError, give_up_on=(KeyError, OSError))
def crunch(numbers: list[float]) -> float:
    return sum(numbers)


@task
async def awkward(
    self: int, task: str, queue: str, delay: float, id: int, client: bytes, args: int, kwargs: int
) -> int:
    return self


@task(name="awkward.sync")
def awkward_sync(kwargs: int, args: int, client: bytes, id: int, delay: float, queue: str, task: str, self: int) -> int:
    return self


@task
async def gather(first: str, *rest: int, **named: float) -> None:
    if rest and named:
        raise Retry(f"{first}, {current_task().id}", delay=1.5)


async def calling_a_task_calls_its_function() -> None:
    assert_type(await add(1, 2), int)
    assert_type(await add(left=1), int)
    assert_type(shout("a", loud=True), str)
    assert_type(await report(datetime.now()), list[str])
    assert_type(crunch([1.0]), float)
    await gather("a", 1, 2, x=0.5)


async def enqueueing_takes_the_arguments_of_the_function() -> None:
    assert_type(await add.enqueue(1, 2), Enqueued[int])
    assert_type(await add.enqueue(1, right=2), Enqueued[int])
    assert_type(await add.enqueue(left=1), Enqueued[int])
    assert_type(await shout.enqueue("a"), Enqueued[str])
    assert_type(await shout.enqueue("a", loud=True), Enqueued[str])
    assert_type(await report.enqueue(datetime.now()), Enqueued[list[str]])
    assert_type(await crunch.enqueue([1, 2.5]), Enqueued[float])
    assert_type(await gather.enqueue("a", 1, 2, x=0.5, y=1), Enqueued[None])
    assert_type((await add.enqueue(1)).id, str)


async def options_never_share_a_call_with_arguments() -> None:
    assert_type(await add.using(queue="high", delay=60).enqueue(1, 2), Enqueued[int])
    assert_type(await shout.using(id="one", timeout=0.5).enqueue("a", loud=True), Enqueued[str])
    later = datetime.now() + timedelta(hours=1)
    assert_type(await crunch.using(run_at=later, max_attempts=1, retry_delay=3).enqueue([1.0]), Enqueued[float])
    await gather.using(visibility_timeout=30).using(queue="low").enqueue("a")


async def parameters_may_have_any_name(with_: Client) -> None:
    await awkward.enqueue(1, "a", "b", 0.5, 2, b"c", 3, 4)
    await awkward.enqueue(self=1, task="a", queue="b", delay=0.5, id=2, client=b"c", args=3, kwargs=4)
    await awkward.using(queue="x", delay=1, id="y", client=with_).enqueue(
        1, "a", queue="b", delay=0.5, id=2, client=b"c", args=3, kwargs=4
    )
    await awkward_sync.enqueue(self=1, task="a", queue="b", delay=0.5, id=2, client=b"c", args=3, kwargs=4)
    assert_type(awkward.bind(self=1, task="a", queue="b", delay=0.5, id=2, client=b"c", args=3, kwargs=4), Call[int])
    awkward_sync(self=1, task="a", queue="b", delay=0.5, id=2, client=b"c", args=3, kwargs=4)
    # pyright cannot pass a keyword named like the `**kwargs` of the call that it goes through: position can.
    await with_.enqueue(awkward_sync, 4, args=3, client=b"c", id=2, delay=0.5, queue="b", task="a", self=1)


async def a_client_takes_tasks_and_bound_calls() -> None:
    async with Client.from_url("sqlite://:memory:") as client:
        assert_type(await client.enqueue(add, 1, right=2), Enqueued[int])
        assert_type(await client.enqueue(shout.using(delay=5), "a", loud=True), Enqueued[str])
        calls = [add.bind(1, 2), shout.using(queue="high").bind("a"), gather.bind("b", 1, x=2)]
        assert_type(await client.enqueue_many(calls), list[Enqueued[Any]])
        assert_type(await client.enqueue_many(add.bind(n) for n in range(3)), list[Enqueued[Any]])


def code_without_an_event_loop_enqueues_too() -> None:
    assert_type(add.enqueue_sync(1, right=2), Enqueued[int])
    assert_type(shout.using(delay=1).enqueue_sync("a"), Enqueued[str])
    assert_type(add.bind(1), Call[int])


def a_policy_is_plain_data() -> RetryPolicy:
    return RetryPolicy(max_attempts=5, delay=1.5, strategy="fixed", retry_on=(ValueError,))

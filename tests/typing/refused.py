"""What a type checker must refuse: exactly the lines marked so. Read by test_typing.py, never run."""

from __future__ import annotations

from typing import assert_type

from asyncdq import Client, Enqueued, RetryPolicy, task


@task
async def add(left: int, right: int = 0) -> int:
    return left + right


@task(queue="loud")
def shout(text: str, *, loud: bool = False) -> str:
    return text.upper() if loud else text


@task
async def awkward(self: int, queue: str, delay: float) -> None:
    print(self, queue, delay)


async def arguments_that_do_not_fit(client: Client) -> None:
    await add.enqueue(1, 2)
    await add.enqueue("1")  # error
    await add.enqueue()  # error
    await add.enqueue(1, wrong=2)  # error
    await add.enqueue(1, 2, 3)  # error
    await shout.enqueue("a", True)  # error
    await shout.enqueue(text=1)  # error
    await client.enqueue(add, 1)
    await client.enqueue(add, "1")  # error
    await client.enqueue(add)  # error
    await client.enqueue(shout, "a", lout=True)  # error
    await client.enqueue(add.using(delay=1), left="1")  # error


async def a_parameter_that_has_the_name_of_an_option() -> None:
    await awkward.enqueue(1, "a", delay=0.5)
    await awkward.enqueue(1, "a")  # error
    await awkward.enqueue(self="1", queue="a", delay=0.5)  # error
    await awkward.using(queue="b").enqueue(1, queue=2, delay=0.5)  # error
    await awkward.using(delay=1).enqueue(1, "a")  # error


async def options_that_do_not_exist() -> None:
    await add.using(queue="high").enqueue(1)
    await add.enqueue(1, queue="high")  # error
    await add.enqueue(1, delay=5)  # error
    add.using(que="high")  # error
    add.using(delay="5")  # error
    add.using("high")  # error
    task(que="high")  # error
    task(max_attempts="many")  # error
    task("high")  # error
    RetryPolicy(strategy="sometimes")  # error


async def calls_that_do_not_fit(client: Client) -> None:
    add.bind(1)
    add.bind("1")  # error
    add.bind(1, loud=True)  # error
    shout.enqueue_sync(1)  # error
    shout.using(delay=1).enqueue_sync()  # error
    await add(1)
    await add("1")  # error
    shout("a", lout=True)  # error
    await client.enqueue_many([add.bind(1)])
    await client.enqueue_many([add])  # error
    await client.enqueue_many(add.bind(1))  # error


async def results_of_another_type() -> None:
    assert_type(await add.enqueue(1), Enqueued[int])
    assert_type(await add.enqueue(1), Enqueued[str])  # error
    assert_type(await shout.enqueue("a"), Enqueued[int])  # error
    number: str = await add(1)  # error
    assert number

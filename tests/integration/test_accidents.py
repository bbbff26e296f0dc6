"""What tasks, and the programs around a worker, do by accident. Each has one victim at most."""

import asyncio
import functools
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncdq import Client, Worker, task
from asyncdq.errors import ConfigurationError, InvalidCall, InvalidTask, TaskError, UnserializableArgument

ran: list[str] = []


@task(name="accidents.stop_iteration", max_attempts=1, timeout=30)
def stop_iteration() -> None:
    next(iter(()))


@task(name="accidents.generator_exit", max_attempts=1)
async def generator_exit() -> None:
    raise GeneratorExit


@task(name="accidents.generator_exit_in_thread", max_attempts=1)
def generator_exit_in_thread() -> None:
    raise GeneratorExit


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@task(name="accidents.unprintable", max_attempts=1)
async def unprintable() -> None:
    raise Unprintable


@task(name="accidents.good")
async def good() -> None:
    ran.append("good")


@task(name="accidents.endless")
async def endless() -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client("sqlite://:memory:") as opened:
        yield opened


@pytest.mark.parametrize(
    ("accident", "error"),
    [
        (stop_iteration, "StopIteration"),
        (generator_exit, "GeneratorExit"),
        (generator_exit_in_thread, "GeneratorExit"),
        (unprintable, "SystemExit"),
    ],
    ids=lambda each: getattr(each, "name", None),
)
async def test_no_exception_costs_a_slot(client: Client, accident: object, error: str) -> None:
    ran.clear()
    await client.enqueue_many([accident.bind(), good.bind()])  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        await Worker(client.driver, concurrency=1, burst=True).start(handle_signals=False)
    [letter] = await client.driver.dead("default", 10)  # type: ignore[attr-defined]
    assert ran == ["good"]
    assert error in letter.error


def test_a_loop_that_is_torn_down_under_a_worker_gives_its_tasks_back_uncounted(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/queue.db"
    begun = threading.Event()

    @task(name="accidents.begins", max_attempts=1)
    async def begins() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def application() -> None:
        async with Client(url) as client:
            await client.enqueue(begins)
        worker = Worker(url)
        worker_task = asyncio.create_task(worker.start(handle_signals=False))
        await asyncio.to_thread(begun.wait, 20)
        assert not worker_task.done()  # and the application ends without it

    async def look() -> int:
        async with Client(url) as client:
            [delivery] = await client.driver.dequeue({"default": 1}, 1, 60.0)
            return delivery.attempt

    asyncio.run(application())
    assert asyncio.run(look()) == 1


async def test_a_client_refuses_another_event_loop_and_goes_on_in_its_own(client: Client) -> None:
    async def elsewhere() -> None:
        await client.enqueue(good)

    with pytest.raises(TaskError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, elsewhere())
    assert (await client.enqueue(good)).created


async def test_enqueue_sync_beside_an_open_client_is_refused_instead_of_going_elsewhere(client: Client) -> None:
    with pytest.raises(TaskError, match="await"):
        good.enqueue_sync()


async def test_a_start_that_was_refused_may_be_repeated(client: Client) -> None:
    worker = Worker(client.driver, burst=True)
    with pytest.raises(ConfigurationError, match="handle_signals=False"):
        await asyncio.to_thread(asyncio.run, worker.start(handle_signals=True))
    await worker.start(handle_signals=False)


def test_tasks_of_a_package_that_is_run_are_found_by_its_processes(tmp_path: Path) -> None:
    package = tmp_path / "jobs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import asyncio\n"
        "from asyncdq import Client, Worker, task\n"
        "@task(process=True, max_attempts=1)\n"
        "def count() -> None: print('counted', count.name)\n"
        "async def main() -> None:\n"
        "    async with Client('sqlite://:memory:') as client:\n"
        "        await client.enqueue(count)\n"
        "        await Worker(client.driver, burst=True).start()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    output = subprocess.check_output([sys.executable, "-m", "jobs"], cwd=tmp_path, text=True, timeout=60)
    assert output.strip() == "counted jobs.count"


def test_a_decorated_coroutine_function_is_a_coroutine_task() -> None:
    def decorated(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        @functools.wraps(function)
        def wrapper() -> Awaitable[None]:
            return function()

        return wrapper

    async def inner() -> None: ...

    made = task(name="accidents.decorated")(decorated(inner))
    assert made.is_coroutine


@pytest.mark.parametrize(
    "parameters",
    [
        {"queue_driver": 5},
        {"concurrency": "10"},
        {"concurrency": 2.5},
        {"visibility_timeout": "5"},
        {"max_tasks": 1.5},
        {"process_pool_initializer": 5},
        {"process_pool_initializer": lambda: None},
        {"serializer": object()},
        {"queues": []},
        {"queues": ["a", "a"]},
        {"queues": ["bad queue"]},
    ],
)
def test_a_wrong_parameter_of_a_worker_is_refused_in_words(parameters: dict[str, object]) -> None:
    given = {"queue_driver": "sqlite://:memory:", **parameters}
    with pytest.raises(ConfigurationError):
        Worker(**given)  # type: ignore[arg-type]


async def test_wrong_options_of_a_call_are_refused_in_words(client: Client) -> None:
    for options in ({"id": 5}, {"run_at": "2020"}, {"delay": "3"}):
        with pytest.raises(InvalidCall):
            await good.using(**options).enqueue()
    with pytest.raises(InvalidTask, match="no option delay"):
        task(delay=3)(good.function)  # type: ignore[call-overload]


def test_an_async_wrapper_makes_a_plain_function_a_coroutine_task() -> None:
    def inner() -> None: ...

    @functools.wraps(inner)
    async def wrapper() -> None:
        inner()

    assert task(name="accidents.async_wrapper")(wrapper).is_coroutine


def with_session(function: Callable[..., Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
    """A decorator that gives the function another argument, and says so."""

    @functools.wraps(function)
    async def wrapper(path: str) -> None:
        await function(Session(), path)

    whole = inspect.signature(function)
    vars(wrapper)["__signature__"] = whole.replace(parameters=[whole.parameters["path"]])
    return wrapper


class Session:
    """What no message could carry."""


@task(name="accidents.with_session", max_attempts=1)
@with_session
async def sessional(session: Session, path: Path) -> None:
    assert isinstance(session, Session)
    ran.append(f"{type(path).__name__} {path}")


async def test_arguments_are_fitted_to_the_signature_that_a_decorator_has_left(client: Client) -> None:
    ran.clear()
    await sessional.enqueue("/x")
    await Worker(client.driver, burst=True).start(handle_signals=False)
    assert ran == ["PosixPath /x"]


@task(name="accidents.own_loop", max_attempts=1)
def own_loop() -> None:
    async def enqueues() -> None:
        await good.enqueue()

    asyncio.run(enqueues())


async def test_a_task_in_a_thread_enqueues_from_an_event_loop_of_its_own(client: Client) -> None:
    ran.clear()
    await own_loop.enqueue()
    await Worker(client.driver, burst=True).start(handle_signals=False)
    assert ran == ["good"]


def test_enqueue_sync_refuses_a_client_whose_event_loop_does_not_run() -> None:
    loop, client = asyncio.new_event_loop(), Client("sqlite://:memory:")
    loop.run_until_complete(client.open(ambient=False))
    try:
        with pytest.raises(TaskError, match="does not run"):
            good.using(client=client).enqueue_sync()
    finally:
        loop.run_until_complete(client.close())
        loop.close()


class Text:
    content_type = "text/x-test"

    def dumps(self, value: object) -> Any:
        return json.dumps(value)

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


async def test_a_serializer_that_returns_text_is_refused_in_the_caller() -> None:
    async with Client("sqlite://:memory:", serializer=Text()) as client:
        with pytest.raises(UnserializableArgument, match="has to return bytes, not str"):
            await client.enqueue(good)

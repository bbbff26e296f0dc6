"""What is published about tasks: neither their arguments nor a secret of ours, but what a user's own error says."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from asyncdq import Client, Reject, Retry, Worker, current_task, task
from asyncdq.events import Emitter, Event, InProcessEmitter, LoggingEmitter, TaskFailed
from asyncdq.events.wire import dumps, line
from asyncdq.message import Call, CallOptions

SECRET = "hunter2"
KEY = f"a-signing-key-{SECRET}"
NOWHERE = f"me:p%40ss/{SECRET}@127.0.0.1:1"  # nothing listens there

URLS = [
    f"redis://{NOWHERE}",
    f"postgresql://{NOWHERE}/db",
    f"mysql://{NOWHERE}/db",
    f"amqp://{NOWHERE}/",
    f"sqs://KEY:{SECRET}@us-east-1?endpoint_url=http://127.0.0.1:1",
    f"redis://127.0.0.1:1?password=a&{SECRET}",  # wrong in itself
]


@task(name="secrets.keep")
async def keep(password: str) -> None: ...


@task(name="secrets.come_back")
async def come_back(password: str) -> None:
    if current_task().attempt == 1:
        raise Retry(delay=0)


@task(name="secrets.give_up")
async def give_up(password: str) -> None:
    raise Reject


@task(name="secrets.connect", max_attempts=1)
async def connect(number: int) -> None:
    async with Client.from_url(URLS[number]) as client:
        await client.driver.setup()


class Colour(Enum):
    RED = "red"


@task(name="secrets.paint", max_attempts=1)
async def paint(colour: Colour) -> None: ...


@task(name="secrets.leak", max_attempts=1)
async def leak() -> None:
    raise ValueError(f"the password {SECRET} is wrong")


async def published(tmp_path: Path, calls: Sequence[Call[None]]) -> list[Event]:
    """All events about these calls, those of the client and of the worker."""
    events: list[Event] = []
    emitters: list[Emitter] = [InProcessEmitter(events.append), LoggingEmitter()]
    url = f"sqlite://{tmp_path}/tasks.db"
    async with Client.from_url(url, signing_keys=KEY, emitters=emitters) as client:
        await client.enqueue_many(calls)
    worker = Worker(url, signing_keys=KEY, emitters=emitters, burst=True)
    await worker.start(handle_signals=False)
    return events


async def test_no_event_has_an_argument_of_a_task(tmp_path: Path) -> None:
    calls = [each.bind(password=SECRET) for each in (keep, come_back, give_up)]
    events = await published(tmp_path, [*calls, Call("secrets.unknown", (SECRET,), {})])
    assert {event.event for event in events} > {"task_enqueued", "task_started", "task_completed", "task_failed"}
    assert "task_retrying" in {event.event for event in events}
    assert [event for event in events if SECRET in f"{event!r} {line(event)}" or SECRET.encode() in dumps(event)] == []


async def test_no_error_of_ours_in_an_event_has_a_secret_of_a_url(tmp_path: Path) -> None:
    events = await published(tmp_path, [connect.bind(number) for number in range(len(URLS))])
    said = [event.error for event in events if isinstance(event, TaskFailed)]
    assert {each.type for each in said if each} == {
        "ConnectionLost",
        "ConfigurationError",
    }
    assert len(said) == len(URLS)
    assert [event for event in events if SECRET in f"{event!r} {line(event)}" or SECRET.encode() in dumps(event)] == []


async def test_what_an_exception_of_the_user_says_is_published(tmp_path: Path) -> None:
    (failed,) = [event for event in await published(tmp_path, [leak.bind()]) if isinstance(event, TaskFailed)]
    assert failed.error is not None
    assert failed.error.message == f"the password {SECRET} is wrong"
    assert "Traceback" not in dumps(failed).decode()


async def test_an_argument_that_does_not_fit_is_published_as_far_as_its_error_repeats_it(tmp_path: Path) -> None:
    calls: list[Call[None]] = [Call("secrets.paint", ("a" * 99 + SECRET,), {}, CallOptions(max_attempts=1))]
    (failed,) = [event for event in await published(tmp_path, calls) if isinstance(event, TaskFailed)]
    assert failed.error is not None
    assert "a" * 99 in failed.error.message
    assert SECRET not in failed.error.message

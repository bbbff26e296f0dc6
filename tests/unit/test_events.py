"""Events as values, as JSON, and on their way to emitters that behave and to those that do not."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from asyncdq.errors import ConfigurationError, ConnectionLost
from asyncdq.events import (
    Event,
    Hub,
    InProcessEmitter,
    LoggingEmitter,
    TaskError,
    TaskFailed,
    TaskRetrying,
    WorkerHeartbeat,
    WorkerOnline,
)
from asyncdq.events.types import TYPES, TaskEvent, about, task_error
from asyncdq.events.wire import dumps, facts, line, loads
from asyncdq.settings import load, options

EVERY = {"event", "id", "at", "worker_id"}
OF_TASKS = EVERY | {"task_id", "task", "queue", "attempt", "max_attempts"}
FIELDS = {
    "task_enqueued": OF_TASKS,
    "task_started": OF_TASKS,
    "task_completed": OF_TASKS | {"duration"},
    "task_retrying": OF_TASKS | {"duration", "error", "delay", "counted"},
    "task_failed": OF_TASKS | {"duration", "error", "reason"},
    "task_cancelled": OF_TASKS,
    "task_lease_lost": OF_TASKS,
    "worker_online": EVERY,
    "worker_heartbeat": EVERY,
    "worker_offline": EVERY,
}
SAMPLES: dict[str, Any] = {
    "worker_id": "w1",
    "task_id": "t1",
    "task": "app.greet",
    "queue": "default",
    "attempt": 2,
    "max_attempts": 3,
    "duration": 0.5,
    "error": TaskError("ValueError", "no \ud800"),
    "delay": 60.0,
    "counted": True,
    "reason": "attempts",
}


def sample(name: str) -> Event:
    wanted = FIELDS[name] & SAMPLES.keys()
    make: Callable[..., Event] = TYPES[name]
    return make(**{field: SAMPLES[field] for field in wanted})


def beat(number: int) -> WorkerHeartbeat:
    return WorkerHeartbeat(id=str(number))


class Sink:
    """An emitter that keeps what it gets, fails while `error` is set, and stands still while it is `shut`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.seen: list[str] = []
        self.calls = 0
        self.closed = 0
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def emit(self, events: Sequence[Event]) -> None:
        self.asked.set()
        self.calls += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.seen += [event.id for event in events]

    async def close(self) -> None:
        self.closed += 1


# As values and as JSON


def test_there_are_these_kinds_with_these_fields() -> None:
    assert {name: set(facts(sample(name))) for name in TYPES} == FIELDS


@pytest.mark.parametrize("name", FIELDS)
def test_an_event_comes_back_as_it_was(name: str) -> None:
    event = sample(name)
    plain = json.loads(dumps(event))
    assert (plain["event"], plain["id"], plain["at"]) == (name, event.id, event.at)
    assert loads(dumps(event)) == event


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_no_two_events_have_the_same_id_also_after_a_fork() -> None:
    write = "os.write(1, f'{E().id} {E().id}\\n'.encode())"  # at once, where print may be cut in two
    text = f"import os; from asyncdq.events import WorkerOnline as E; os.fork(); {write}"
    ids = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()
    assert len(set(ids)) == len(ids) == 4


def test_the_error_of_an_event_is_its_type_and_message() -> None:
    assert json.loads(dumps(sample("task_failed")))["error"] == {"type": "ValueError", "message": "no \ud800"}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_a_later_version_are_left_out(name: str) -> None:
    event = sample(name)
    assert loads(json.dumps({**facts(event), "colour": "red"}).encode()) == event


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[]", b"1", b"{}", b'{"event": 5}', b'{"event": []}', b'{"event": "task_imagined", "id": "1"}']
    + [json.dumps(facts(sample("task_failed")) | wrong).encode() for wrong in ({"attempt": "1"}, {"error": {"a": 1}})]
    + [json.dumps(facts(sample("task_failed")) | {"duration": wrong}).encode() for wrong in (10**400, float("nan"))]
    + [json.dumps({"event": "worker_online", "worker_id": "w1"}).encode()],
)
def test_what_is_no_event_is_nothing(data: bytes) -> None:
    assert loads(data) is None


def test_an_error_line_is_split_into_type_and_message() -> None:
    assert task_error("ValueError: a: b") == TaskError("ValueError", "a: b")
    assert task_error("KeyError") == TaskError("KeyError", "")
    assert task_error("2 workers died: so it is said") == TaskError("", "2 workers died: so it is said")
    assert task_error("") is None


def test_the_message_of_an_error_is_cut_to_a_kilobyte() -> None:
    error = task_error("ValueError: " + "\u00e4" * 2000)
    assert error is not None
    assert error.message == "\u00e4" * 512


@pytest.mark.parametrize("name", FIELDS)
def test_a_line_for_people_has_the_name_and_who_it_is_about(name: str) -> None:
    event = sample(name)
    text = line(event)
    assert text.startswith(f"{name} {event.task if isinstance(event, TaskEvent) else 'w1'}")
    assert not isinstance(event, TaskRetrying | TaskFailed) or text.endswith("ValueError: no \\ud800")


# On their way


async def test_events_arrive_in_their_order() -> None:
    sink = Sink()
    hub = Hub([sink])
    for number in range(2000):
        hub.emit(beat(number))
    await hub.close()
    assert sink.seen == [str(number) for number in range(2000)]
    assert (hub.dropped, sink.closed) == (0, 1)


async def test_events_that_come_close_together_share_a_flush() -> None:
    sink = Sink()
    hub = Hub([sink])
    for number in range(100):
        hub.emit(beat(number))
        await asyncio.sleep(0)
    await hub.close()
    assert len(sink.seen) == 100
    assert sink.calls < 20


async def test_the_oldest_is_dropped_and_counted_when_the_emitter_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    sink.open.clear()
    hub = Hub([sink], capacity=10)
    hub.emit(beat(0))
    await sink.asked.wait()
    for number in range(1, 31):
        hub.emit(beat(number))
    assert hub.dropped == 20
    sink.open.set()
    await hub.close()
    assert sink.seen == ["0", *(str(number) for number in range(21, 31))]
    assert [record.message.partition(" events")[2] or record.message for record in caplog.records][1:] == [
        " were dropped"
    ]
    assert "Sink: 20 events were dropped" in caplog.text


async def test_after_a_lost_connection_the_events_come_again() -> None:
    sink = Sink(ConnectionLost("away"))
    hub = Hub([sink])
    hub.emit(beat(1))
    await sink.asked.wait()
    hub.emit(beat(2))
    sink.error = None
    await hub.close()
    assert (sink.seen, hub.dropped) == (["1", "2"], 0)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), TimeoutError(), asyncio.CancelledError()])
async def test_an_emitter_that_raises_does_not_hurt_another_one(error: BaseException) -> None:
    bad, good = Sink(error), Sink()
    hub = Hub([bad, good])
    for number in range(3):
        hub.emit(beat(number))
    async with asyncio.timeout(10):
        await hub.close()
    assert (bad.seen, good.seen) == ([], ["0", "1", "2"])
    assert hub.dropped == 3


async def test_an_emitter_that_hangs_is_left_after_two_seconds_and_what_it_had_is_counted() -> None:
    stuck = Sink()
    stuck.open.clear()
    hub = Hub([stuck])
    for number in range(700):
        hub.emit(beat(number))
    began = asyncio.get_running_loop().time()
    await hub.close()
    assert 1.9 < asyncio.get_running_loop().time() - began < 10
    assert hub.dropped == 700


async def test_an_outage_is_said_once_with_its_count_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(ValueError("bad"))
    hub = Hub([sink])
    for number in range(1200):
        hub.emit(beat(number))
    while hub.dropped < 1000:
        sink.asked.clear()
        await sink.asked.wait()
    sink.error = None
    await hub.close()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "events do not get through to Sink",
        "Sink",
    ]
    assert caplog.records[1].getMessage() == f"Sink: {hub.dropped} events were dropped"


class Asked(Sink):
    """One that knows whether anybody listens, and stands still before it says so while it is `shut`."""

    def __init__(self, *, listens: bool, error: BaseException | None = None) -> None:
        super().__init__()
        self.listens = listens
        self.no_answer = error

    async def is_heard(self) -> bool:
        self.asked.set()
        await self.open.wait()
        if self.no_answer is not None:
            raise self.no_answer
        return self.listens


def tell(hub: Hub, begin: int, end: int) -> list[str]:
    for number in range(begin, end):
        hub.emit(beat(number))
    return [str(number) for number in range(begin, end)]


async def test_many_events_that_nobody_listens_to_are_dropped_and_no_loss() -> None:
    sink = Asked(listens=False)
    hub = Hub([sink])
    tell(hub, 0, 2_000)
    await hub.close()
    assert (sink.seen, hub.dropped) == ([], 0)
    sink.listens = True
    heard = tell(hub, 2_000, 4_000)
    await hub.close()
    assert (sink.seen, hub.dropped) == (heard, 0)


async def test_for_a_few_events_nobody_is_asked() -> None:
    sink = Asked(listens=False)
    hub = Hub([sink])
    told = tell(hub, 0, 99)
    await hub.close()
    assert sink.seen == told


@pytest.mark.parametrize("count", [50, 150, 250, 350])
async def test_what_comes_after_the_question_is_not_dropped_by_its_answer(count: int) -> None:
    sink = Asked(listens=False)
    sink.open.clear()
    hub = Hub([sink], capacity=200)
    tell(hub, 0, 100)
    await sink.asked.wait()
    later = tell(hub, 100, 100 + count)
    sink.open.set()
    await asyncio.sleep(0)  # the answer comes
    sink.listens = True
    await hub.close()
    assert sink.seen == later[-200:]
    assert hub.dropped == max(0, count - 200)  # of those that were asked about, none


@pytest.mark.parametrize("error", [ValueError("bad"), TimeoutError()])
async def test_an_emitter_that_cannot_say_who_listens_gets_the_events(error: BaseException) -> None:
    sink = Asked(listens=False, error=error)
    hub = Hub([sink])
    told = tell(hub, 0, 200)
    await hub.close()
    assert (sink.seen, hub.dropped) == (told, 0)


async def test_a_question_that_was_lost_is_asked_again() -> None:
    sink = Asked(listens=True, error=ConnectionLost("away"))
    hub = Hub([sink])
    told = tell(hub, 0, 200)
    await sink.asked.wait()
    sink.no_answer = None
    await hub.close()
    assert (sink.seen, hub.dropped) == (told, 0)


@pytest.mark.parametrize("kind", [kind for kind in TYPES.values() if issubclass(kind, TaskEvent)])
def test_an_event_that_is_made_in_a_hurry_lacks_only_what_is_its_own(kind: type[TaskEvent]) -> None:
    made, own = about(kind, "w", "1", "t", "q", 1, 3), FIELDS[kind.event] - FIELDS["task_started"]
    for name in own:
        setattr(made, name, SAMPLES[name])
    assert loads(dumps(made)) == made


async def test_a_hub_can_be_used_again_after_it_was_closed() -> None:
    sink = Sink()
    hub = Hub([sink])
    for number in range(2):
        hub.emit(beat(number))
        await hub.close()
    assert (sink.seen, sink.closed) == (["0", "1"], 2)


def test_without_emitters_there_is_no_hub() -> None:
    assert Hub.of([]) is None


@pytest.mark.parametrize("wrong", [print, "redis://localhost", Sink, None])
def test_what_is_no_emitter_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no emitter"):
        Hub.of([wrong])


# Those that need no server


async def test_a_listener_gets_each_event_also_after_it_has_failed_at_one(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def listen(event: Event) -> None:
        seen.append(event.id)
        if event.id in "12":
            raise ValueError("a listener's own mistake")

    emitter = InProcessEmitter(listen)
    await emitter.emit([beat(number) for number in range(4)])
    assert (seen, emitter.failed, len(caplog.records)) == (["0", "1", "2", "3"], 2, 1)


async def test_a_slow_listener_loses_only_what_it_did_not_get_and_that_is_counted() -> None:
    seen: list[str] = []

    async def listen(event: Event) -> None:
        await asyncio.sleep(0.01)  # 600 of these take longer than a hub has to close
        seen.append(event.id)

    hub = Hub([InProcessEmitter(listen)], capacity=600)
    for number in range(610):
        hub.emit(beat(number))
    await hub.close()
    assert seen == [str(number) for number in range(10, 10 + len(seen))]
    assert 50 < len(seen) == 610 - hub.dropped


async def test_a_listener_that_awaits_what_was_cancelled_gets_the_next_event_all_the_same() -> None:
    seen: list[str] = []

    async def listen(event: Event) -> None:
        seen.append(event.id)
        if event.id == "1":
            cancelled = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            await cancelled

    hub = Hub([emitter := InProcessEmitter(listen)])
    for number in range(3):
        hub.emit(beat(number))
    await hub.close()
    assert (seen, emitter.failed, hub.dropped) == (["0", "1", "2"], 1, 0)


async def test_a_plain_function_can_listen() -> None:
    seen: list[Event] = []
    event = WorkerOnline(worker_id="w1")
    await InProcessEmitter(seen.append).emit([event])
    assert seen == [event]


async def test_the_log_has_a_line_per_event_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    event = cast("TaskFailed", sample("task_failed"))
    await LoggingEmitter("mine").emit([replace(event, error=TaskError("ValueError", "no"))])
    (record,) = caplog.records
    assert record.getMessage() == "task_failed app.greet t1 attempt 2 of 3 after 0.500 s (attempts) ValueError: no"
    assert (record.name, vars(record)["task_id"], vars(record)["reason"]) == ("mine", "t1", "attempts")


# Settings


@pytest.mark.parametrize("wrong", ["nonsense", "sqlite://x.db"])
def test_a_url_for_events_that_is_none_is_refused_by_the_name_of_its_option(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="--events-redis-url: it looks like"):
        load({"events_redis_url": wrong})


def test_the_command_takes_what_says_where_redis_is() -> None:
    taken = {option.name for option in options() if "events" in option.commands}
    assert {"redis_url", "redis_password", "redis_db", "events_redis_url"} <= taken


def test_events_go_to_the_redis_of_the_queue_unless_another_is_named() -> None:
    assert load({"url": "redis://queue:1"}).events_url() == "redis://queue:1"
    assert load({"url": "sqlite://a.db", "redis_url": "redis://other"}).events_url() == "redis://other"
    assert load({"url": "redis://queue", "events_redis_url": "redis://events"}).events_url() == "redis://events"
    assert load({"redis_url": "redis://h", "redis_password": "a&b"}).events_url() == "redis://h?password=a%26b"

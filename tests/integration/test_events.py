"""Events from real workers and clients over a real Redis, whatever keeps the queue; and a Redis that breaks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from asyncdq import Client, EventSubscriber, Reject, Retry, Worker, current_task, task
from asyncdq.errors import ConnectionLost
from asyncdq.events import Event, InProcessEmitter, LoggingEmitter, RedisEmitter, TaskEvent, TaskFailed, TaskRetrying
from asyncdq.events.wire import facts
from asyncdq.message import Message
from tests.servers import Server, private, shared
from tests.servers.ports import free_port
from tests.servers.proxy import Proxy

ROOT = Path(__file__).resolve().parents[2]
SOON = 20.0
ONLINE = '{"event":"worker_online","id":"1","at":1,"worker_id":"w"}'
ran: list[int] = []
gates: dict[str, asyncio.Event] = {}


@task(name="tests.note")
async def note(number: int) -> None:
    ran.append(number)


@task(name="tests.retry_once", max_attempts=3)
async def retry_once() -> None:
    if current_task().attempt == 1:
        raise Retry("not yet", delay=0)


@task(name="tests.fail", max_attempts=1)
async def fail() -> None:
    raise ValueError("on purpose")


@task(name="tests.reject")
async def reject() -> None:
    raise Reject("never")


@task(name="tests.enqueue_more")
async def enqueue_more() -> None:
    await note.enqueue(7)


@task(name="tests.stand")
async def stand() -> None:
    gates["begun"].set()
    await gates["over"].wait()


@pytest.fixture
def redis_url() -> str:
    return shared("redis").url


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    return f"asyncdq:test:{request.node.name}"


@pytest.fixture
def server() -> Iterator[Server]:
    with private("redis") as server:
        yield server


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/queue.db"


class Heard:
    """What a subscriber in the background has heard."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def add(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, id: str) -> list[TaskEvent]:
        return [event for event in self.events if isinstance(event, TaskEvent) and event.task_id == id]

    def names(self, id: str) -> list[str]:
        return [event.event for event in self.of(id)]

    async def until(self, name: str) -> Event:
        """The first event of that name."""
        async with asyncio.timeout(SOON):
            while not (found := [event for event in self.events if event.event == name]):
                self._news.clear()
                await self._news.wait()
        return found[0]


@asynccontextmanager
async def hearing(url: str, channel: str) -> AsyncIterator[Heard]:
    heard = Heard()

    async def listen(subscriber: EventSubscriber) -> None:
        async for event in subscriber:
            heard.add(event)

    async with EventSubscriber(url, channel=channel) as subscriber:
        listening = asyncio.create_task(listen(subscriber))
        try:
            yield heard
        finally:
            await subscriber.aclose()
            async with asyncio.timeout(SOON):
                await listening


async def burst(client: Client, *emitters: Any, **config: Any) -> Worker:
    worker = Worker(client.driver, burst=True, emitters=emitters, worker_id="w1", **config)
    async with asyncio.timeout(60):
        await worker.start(handle_signals=False)
    return worker


async def work_through(url: str, count: int, *emitters: Any) -> Worker:
    """A worker has run so many tasks, with these emitters on both sides."""
    ran.clear()
    async with Client.from_url(url, emitters=emitters) as client:
        await client.enqueue_many(note.bind(number) for number in range(count))
        worker = await burst(client, *emitters, concurrency=100)
    assert sorted(ran) == list(range(count))
    return worker


# What is told


async def test_a_success_is_told_in_order_with_all_fields(queue_url: str, channel: str, redis_url: str) -> None:
    async with hearing(redis_url, channel) as heard:
        emitter = RedisEmitter(redis_url, channel=channel)
        async with Client.from_url(queue_url, emitters=[emitter]) as client:
            id = (await client.enqueue(note.using(max_attempts=4), 1)).id
            await burst(client, emitter)
        await heard.until("worker_offline")
    assert [event.event for event in heard.events] == [
        *("task_enqueued", "worker_online", "task_started", "task_completed", "worker_offline")
    ]
    enqueued, started, completed = map(facts, heard.of(id))
    about = {"task_id": id, "task": "tests.note", "queue": "default", "max_attempts": 4}
    assert about.items() <= enqueued.items() & started.items() & completed.items()
    assert [each["worker_id"] for each in (enqueued, started, completed)] == [None, "w1", "w1"]
    assert [each["attempt"] for each in (enqueued, started, completed)] == [0, 1, 1]
    assert enqueued["at"] <= started["at"] <= completed["at"]
    assert 0 <= completed["duration"] < SOON


async def test_a_retry_and_a_burial_are_told_with_their_error(sqlite: str, channel: str, redis_url: str) -> None:
    async with hearing(redis_url, channel) as heard, Client.from_url(sqlite) as client:
        ids = [each.id for each in await client.enqueue_many([retry_once.bind(), fail.bind(), reject.bind()])]
        await burst(client, RedisEmitter(redis_url, channel=channel))
        await heard.until("worker_offline")
    assert heard.names(ids[0]) == ["task_started", "task_retrying", "task_started", "task_completed"]
    retrying = heard.of(ids[0])[1]
    assert isinstance(retrying, TaskRetrying)
    assert retrying.error is not None
    assert (retrying.error.type, retrying.error.message) == ("Retry", "not yet")
    assert (retrying.delay, retrying.counted, retrying.attempt, retrying.max_attempts) == (0, True, 1, 3)
    failed = [heard.of(id)[-1] for id in ids[1:]]
    assert all(isinstance(each, TaskFailed) for each in failed)
    assert [facts(each)["reason"] for each in failed] == ["attempts", "rejected"]
    assert facts(failed[0])["error"] == {"type": "ValueError", "message": "on purpose"}


async def test_a_task_that_enqueues_tells_it_as_its_worker(sqlite: str, channel: str, redis_url: str) -> None:
    async with hearing(redis_url, channel) as heard, Client.from_url(sqlite) as client:
        await client.enqueue(enqueue_more)
        await burst(client, RedisEmitter(redis_url, channel=channel))
        enqueued = await heard.until("task_enqueued")
    assert (enqueued.worker_id, facts(enqueued)["task"]) == ("w1", "tests.note")


async def test_an_id_that_waits_already_is_not_told_again(sqlite: str) -> None:
    seen: list[Event] = []
    async with Client.from_url(sqlite, emitters=[InProcessEmitter(seen.append)]) as client:
        await client.enqueue(note.using(id="once"), 1)
        await client.enqueue(note.using(id="once"), 2)
    assert [event.event for event in seen] == ["task_enqueued"]


async def test_a_message_that_nobody_can_read_is_told_as_failed(sqlite: str) -> None:
    seen: list[Event] = []
    async with Client.from_url(sqlite) as client:
        await client.driver.enqueue([Message("broken", "default", b"\xc1")])
        await burst(client, InProcessEmitter(seen.append))
    (failed,) = [event for event in seen if isinstance(event, TaskFailed)]
    assert (failed.task_id, failed.task, failed.max_attempts, failed.reason) == ("broken", "?", None, "undecodable")


async def test_who_is_buried_because_its_workers_died_is_told_with_its_attempts(sqlite: str) -> None:
    seen: list[Event] = []
    async with Client.from_url(sqlite) as client:
        await client.enqueue(fail)
        await client.driver.dequeue({"default": 1}, 1, 0.01)  # by a worker that is dead
        await client.driver.wait(["default"], 5)
        await burst(client, InProcessEmitter(seen.append))
    (failed,) = [event for event in seen if isinstance(event, TaskFailed)]
    assert (failed.task, failed.max_attempts, failed.reason) == ("tests.fail", 1, "lost")


async def test_a_lost_lease_is_told_and_nothing_after_it(sqlite: str) -> None:
    gates.update(begun=asyncio.Event(), over=asyncio.Event())
    heard = Heard()
    async with Client.from_url(sqlite) as client:
        id = (await client.enqueue(stand)).id
        worker = Worker(client.driver, visibility_timeout=0.6, emitters=[InProcessEmitter(heard.add)])
        work = asyncio.create_task(worker.start(handle_signals=False))
        await gates["begun"].wait()
        steal(sqlite.removeprefix("sqlite://"))
        lost = await heard.until("task_lease_lost")
        worker.stop()
        await work
    assert heard.names(id) == ["task_started", "task_lease_lost"]
    assert (facts(lost)["task"], facts(lost)["attempt"]) == ("tests.stand", 1)


def steal(file: str) -> None:
    """Every lease in this file belongs to somebody else now."""
    with closing(sqlite3.connect(file, timeout=30)) as database, database:
        database.execute("update task_queue set token = 1 where token is not null")


async def test_a_worker_tells_that_it_is_alive(sqlite: str) -> None:
    heard = Heard()
    worker = Worker(sqlite, worker_id="w1", heartbeat_interval=0.01, emitters=[InProcessEmitter(heard.add)])
    work = asyncio.create_task(worker.start(handle_signals=False))
    assert (await heard.until("worker_heartbeat")).worker_id == "w1"
    worker.stop()
    await work
    assert (heard.events[0].event, heard.events[-1].event) == ("worker_online", "worker_offline")


async def test_the_log_can_have_the_events(sqlite: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "asyncdq.events")
    await work_through(sqlite, 1, LoggingEmitter())
    told = [record.getMessage().split()[0] for record in caplog.records if record.name == "asyncdq.events"]
    assert told == ["task_enqueued", "worker_online", "task_started", "task_completed", "worker_offline"]


async def test_without_emitters_there_is_nothing_to_count(sqlite: str) -> None:
    assert (await work_through(sqlite, 1)).events is None


async def test_the_channel_has_plain_json(sqlite: str, channel: str, redis_url: str) -> None:
    async with AsyncRedis.from_url(redis_url) as redis, redis.pubsub(ignore_subscribe_messages=True) as plain:
        await plain.subscribe(channel)
        await work_through(sqlite, 1, RedisEmitter(redis_url, channel=channel))
        said: list[dict[str, Any]] = []
        async with asyncio.timeout(SOON):
            while not said or said[-1]["event"] != "worker_offline":
                if message := await plain.get_message(timeout=1):
                    said.append(json.loads(message["data"]))
    (completed,) = [each for each in said if each["event"] == "task_completed"]
    assert set(completed) == {
        *("event", "id", "at", "worker_id", "task_id", "task", "queue", "attempt", "max_attempts", "duration")
    }


# Sinks that break


async def test_no_events_server_from_the_start_hurts_nobody(sqlite: str, caplog: pytest.LogCaptureFixture) -> None:
    emitter = RedisEmitter(f"redis://127.0.0.1:{free_port()}")
    worker = await work_through(sqlite, 2000, emitter)
    assert worker.events is not None
    assert worker.events.dropped == 4002  # started and completed, and the worker's two
    told = [record.getMessage() for record in caplog.records if record.name == "asyncdq.events"]
    said = [text.split(":")[0] for text in told]  # by the client, and by the worker
    assert sorted(said) == [*["RedisEmitter"] * 2, *["events do not get through to RedisEmitter"] * 2]


async def test_an_events_server_that_is_killed_and_comes_back_is_used_again(sqlite: str, server: Server) -> None:
    async with hearing(server.url, "asyncdq:events") as heard:
        emitter = RedisEmitter(server.url)
        async with Client.from_url(sqlite, emitters=[emitter]) as client:
            first = (await client.enqueue(note, 1)).id
            await heard.until("task_enqueued")
            server.kill9()
            await work_through(f"{sqlite}2", 2000, emitter)
            server.start()
            async with asyncio.timeout(SOON):
                while heard.events[-1].event != "worker_offline":
                    await burst(client, emitter)
    assert heard.names(first).count("task_enqueued") == 1  # what follows it is of a burst after the return


async def test_a_frozen_events_server_hurts_nobody_and_memory_is_bounded(sqlite: str, server: Server) -> None:
    emitter = RedisEmitter(server.url)
    await work_through(sqlite, 1, emitter)
    server.pause()
    try:
        worker = await work_through(sqlite, 2000, emitter)
    finally:
        server.resume()
    assert worker.events is not None
    assert worker.events.dropped == 4002


async def test_more_events_than_the_buffer_holds_drop_the_oldest(sqlite: str, server: Server) -> None:
    async with hearing(server.url, "asyncdq:events"):
        server.pause()
        try:
            worker = await work_through(sqlite, 8000, RedisEmitter(server.url))
        finally:
            server.resume()
    assert worker.events is not None
    assert worker.events.dropped == 16002


async def test_a_subscriber_that_does_not_read_slows_nobody(sqlite: str, channel: str, redis_url: str) -> None:
    async with EventSubscriber(redis_url, channel=channel) as lazy:
        worker = await work_through(sqlite, 2000, RedisEmitter(redis_url, channel=channel))
        assert worker.events is not None
        assert worker.events.dropped == 0
        async with asyncio.timeout(SOON):
            assert (await anext(lazy)).event == "task_enqueued"


class Broken:
    """An emitter of a user's that never works."""

    async def emit(self, events: Sequence[Event]) -> None:
        raise ValueError("a mistake")

    async def close(self) -> None:
        raise ValueError("another one")


class Hanging:
    """An emitter of a user's that never returns."""

    async def emit(self, events: Sequence[Event]) -> None:
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("emitter", [Broken(), Hanging()], ids=["raises", "hangs"])
async def test_an_emitter_of_ones_own_that_breaks_hurts_nobody(emitter: Broken | Hanging, sqlite: str) -> None:
    seen: list[Event] = []
    worker = await work_through(sqlite, 300, emitter, InProcessEmitter(seen.append))
    assert worker.events is not None
    assert worker.events.dropped == 602
    assert sum(event.event == "task_completed" for event in seen) == 300


# Subscribing


async def test_a_subscriber_leaves_out_what_it_cannot_read(channel: str, redis_url: str) -> None:
    async with EventSubscriber(redis_url, channel=channel) as subscriber:
        with Redis.from_url(redis_url) as redis:
            for text in ("nonsense", '{"event": "task_imagined", "id": "1", "at": 1}', '{"event": "worker_online"}'):
                redis.publish(channel, text)
            redis.publish(channel, '{"event":"worker_online","id":"1","at":1,"worker_id":"w","colour":"red"}')
        async with asyncio.timeout(SOON):
            event = await anext(subscriber)
    assert (event.event, event.id, event.worker_id) == ("worker_online", "1", "w")


async def test_a_subscriber_that_gave_up_waiting_misses_nothing(channel: str, redis_url: str) -> None:
    async with EventSubscriber(redis_url, channel=channel) as subscriber:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(subscriber)
        with Redis.from_url(redis_url) as redis:
            assert redis.publish(channel, ONLINE) == 1
        async with asyncio.timeout(SOON):
            assert (await anext(subscriber)).id == "1"


async def test_a_subscriber_connects_again_and_says_so(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async with hearing(server.url, "asyncdq:events") as heard:
        server.kill9()
        server.start()
        with Redis.from_url(server.url) as redis:
            async with asyncio.timeout(SOON):
                while not redis.publish("asyncdq:events", ONLINE):  # noqa: ASYNC110 - nothing here says it is back
                    await asyncio.sleep(0.05)  # between two tries
        await heard.until("worker_online")
    assert "are not heard now" in caplog.text
    assert "are heard again" in caplog.text


async def test_a_subscription_to_events_that_was_lost_without_a_word_is_opened_again(
    channel: str, redis_url: str
) -> None:
    async with Proxy(redis_url) as proxy, hearing(proxy.url, channel) as heard:
        proxy.forget()
        with Redis.from_url(redis_url) as redis:
            async with asyncio.timeout(SOON):
                while not heard.events:
                    redis.publish(channel, ONLINE)
                    await asyncio.sleep(0.05)  # between two tries: nothing here says that it listens again


async def test_a_subscriber_needs_a_server_at_its_beginning() -> None:
    with pytest.raises(ConnectionLost):
        await anext(EventSubscriber(f"redis://127.0.0.1:{free_port()}"))


async def test_a_closed_subscriber_ends_its_loop(redis_url: str, channel: str) -> None:
    subscriber = EventSubscriber(redis_url, channel=channel)
    async with subscriber:
        pass
    await subscriber.aclose()
    assert [event async for event in subscriber] == []


# The command line


class Shell:
    """Commands with SQLite as the queue and events on the shared Redis."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "asyncdq", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return output


@pytest.fixture
def shell(tmp_path: Path, redis_url: str, channel: str) -> Shell:
    (tmp_path / "tasks.py").write_text("from asyncdq import task\n\n@task\nasync def greet() -> None: ...\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCDQ_")}
    own = {
        "PYTHONPATH": str(ROOT),
        "ASYNCDQ_REDIS_URL": redis_url,
        "ASYNCDQ_EVENTS_CHANNEL": channel,
        "ASYNCDQ_EVENTS_ENABLE_EVENT_EMITTER_REDIS": "true",
    }
    return Shell(tmp_path, clean | own)


TOLD = ["task_enqueued", "worker_online", "task_started", "task_completed", "worker_offline"]


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_the_command_prints_what_other_processes_tell(shell: Shell, as_json: bool) -> None:
    with shell.start("events", *(["--json"] if as_json else [])) as viewer:
        assert viewer.stdout is not None
        assert viewer.stderr is not None
        assert viewer.stderr.readline().startswith("listening to asyncdq:test:")
        id = shell.run("enqueue", "tasks.greet").strip()
        shell.run("worker", "--burst", "--name", "w1")
        lines = [viewer.stdout.readline() for _ in TOLD]
        viewer.send_signal(signal.SIGINT)
        assert viewer.wait(SOON) == 130
    if as_json:
        assert [json.loads(line)["event"] for line in lines] == TOLD
        assert [json.loads(lines[number])["task_id"] for number in (0, 2, 3)] == [id] * 3
    else:
        assert [line.split()[2] for line in lines] == TOLD
        assert f"task_started tasks.greet {id} attempt 1 of 3" in lines[2]


def test_the_command_says_if_there_is_no_server(shell: Shell) -> None:
    viewer = shell.start("events", "--events-redis-url", f"redis://127.0.0.1:{free_port()}")
    _, errors = viewer.communicate(timeout=60)
    assert (viewer.returncode, errors.count("\n")) == (1, 1)


def test_a_script_that_enqueues_and_exits_has_told_it(shell: Shell) -> None:
    with shell.start("events", "--json") as viewer:
        assert viewer.stdout is not None
        assert viewer.stderr is not None
        viewer.stderr.readline()
        text = "import asyncio, tasks; asyncio.run(tasks.greet.enqueue()); tasks.greet.enqueue_sync()"
        ended = subprocess.run(
            [sys.executable, "-c", text], cwd=shell.folder, env=shell.environment, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert [json.loads(viewer.stdout.readline())["event"] for _ in range(2)] == ["task_enqueued"] * 2
        viewer.kill()

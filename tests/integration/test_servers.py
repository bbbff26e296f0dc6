"""The servers of the tests: what they are told happens, and nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import aiomysql
import aiormq
import asyncpg
import pytest
import redis.asyncio
from redis.exceptions import RedisError

from tests.servers import KINDS, Server, ServerUnavailable
from tests.servers.folder import BASE, processes_in, sweep
from tests.servers.given import Given
from tests.servers.native import Native
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.sqs import ask

from .workers import until

ROOT = Path(__file__).resolve().parents[2]

LOST = (
    OSError,
    RedisError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    aiomysql.MySQLError,
    aiormq.exceptions.AMQPError,
)
"""What clients raise when nobody is there."""

SOME = ("redis", "postgres")
"""Enough for what is the same for all; brokers start slowly."""

some = pytest.mark.parametrize("own_server", SOME, indirect=True)


class Notes:
    """One connection to a server, and a place on it that keeps one word."""

    def __init__(self, client: redis.asyncio.Redis | asyncpg.Connection) -> None:
        self.client = client

    async def write(self, word: str) -> None:
        if isinstance(self.client, redis.asyncio.Redis):
            await self.client.set("note", word)
        else:
            await self.client.execute("create table if not exists notes (word text)")
            await self.client.execute("insert into notes values ($1)", word)

    async def read(self) -> str | None:
        if isinstance(self.client, redis.asyncio.Redis):
            word = await self.client.get("note")
            return None if word is None else str(word)
        if await self.client.fetchval("select to_regclass('notes')") is None:
            return None
        found: str = await self.client.fetchval("select word from notes")
        return found

    async def setting(self, name: str) -> str:
        if isinstance(self.client, redis.asyncio.Redis):
            return str((await self.client.config_get(name))[name])
        return str(await self.client.fetchval(f"show {name}"))


class MySQLNotes(Notes):
    """The same in MySQL."""

    def __init__(self, connection: aiomysql.Connection) -> None:
        self.connection = connection

    async def write(self, word: str) -> None:
        await self._ask("create table if not exists notes (word text)")
        await self._ask(f"insert into notes values ('{word}')")

    async def read(self) -> str | None:
        try:
            return await self._ask("select word from notes")
        except aiomysql.ProgrammingError:  # there is no such table
            return None

    async def setting(self, name: str) -> str:
        return await self._ask(f"select @@{name}") or ""

    async def _ask(self, statement: str) -> str | None:
        cursor = await self.connection.cursor()
        await cursor.execute(statement)
        row = await cursor.fetchone()
        return None if row is None else str(row[0])


class SQSNotes(Notes):
    """The same in SQS: a word is the name of a queue."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def write(self, word: str) -> None:
        await asyncio.to_thread(ask, self.url, "CreateQueue", QueueName=word)

    async def read(self) -> str | None:
        queues: list[str] = (await asyncio.to_thread(ask, self.url, "ListQueues")).get("QueueUrls", [])
        return queues[0].rpartition("/")[2] if queues else None


class RabbitMQNotes(Notes):
    """The same in RabbitMQ: a word is a message in a queue."""

    def __init__(self, connection: aiormq.Connection) -> None:
        self.connection = connection

    async def write(self, word: str) -> None:
        channel = await self.connection.channel(publisher_confirms=True)
        await channel.queue_declare("notes", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.basic_publish(word.encode(), routing_key="notes", mandatory=True)
        await channel.close()
        await asyncio.sleep(RabbitMQ.maturing)  # a server that is paused, and then killed, has no time for it

    async def read(self) -> str | None:
        channel = await self.connection.channel()
        try:
            while True:
                if word := (await channel.basic_get("notes")).body:
                    break
                await asyncio.sleep(0.01)  # another reader has it, and gives it back with its channel
        except aiormq.exceptions.ChannelNotFoundEntity:  # there is no such queue
            return None
        await channel.close()
        return word.decode()


@asynccontextmanager
async def notes(server: Server) -> AsyncIterator[Notes]:
    """A new connection, closed at the end."""
    if server.url.startswith("redis"):
        async with redis.asyncio.Redis.from_url(server.url, decode_responses=True) as client:
            yield Notes(client)
    elif server.url.startswith("mysql"):
        at = urlsplit(server.url)
        connecting = aiomysql.connect(
            at.hostname or "", at.username, at.password or "", at.path[1:], at.port or 3306, autocommit=True
        )
        async with connecting as session:
            try:
                yield MySQLNotes(session)
            finally:
                session.close()
    elif server.url.startswith("sqs"):
        yield SQSNotes(server.url)
    elif server.url.startswith("amqp"):
        async with aiormq.connect(server.url) as channels:
            yield RabbitMQNotes(channels)
    else:
        connection = await asyncpg.connect(server.url)
        try:
            yield Notes(connection)
        finally:
            connection.terminate()


async def read(server: Server) -> str | None:
    """The word, over a new connection."""
    async with notes(server) as place:
        return await place.read()


async def write(server: Server, word: str) -> None:
    """Keep the word, over a new connection."""
    async with notes(server) as place:
        await place.write(word)


def skip_if_it_cannot_be_emptied(server: Server) -> None:
    if server.url.startswith("amqp") and not isinstance(server, Native):
        pytest.skip("no client of this one can list what there is to delete")


async def test_a_server_keeps_what_it_confirmed_over_kill_9_and_what_it_has_when_it_is_stopped(
    own_server: Server,
) -> None:
    await write(own_server, "kept")
    own_server.kill9()
    with pytest.raises(LOST):
        await read(own_server)
    own_server.start()
    if not own_server.durable:  # an emulator writes what it has when it is stopped in order
        assert await read(own_server) is None
        await write(own_server, "kept")
    assert await read(own_server) == "kept"
    own_server.stop()
    with pytest.raises(LOST):
        await read(own_server)
    own_server.stop()  # nothing happens
    own_server.start()
    assert await read(own_server) == "kept"


@pytest.mark.parametrize(  # a quorum queue of RabbitMQ cannot be told otherwise
    ("own_server", "name", "value"),
    [
        ("redis", "appendfsync", "always"),
        ("postgres", "fsync", "on"),
        ("mysql", "innodb_flush_log_at_trx_commit", "1"),
    ],
    indirect=["own_server"],
)
async def test_what_is_confirmed_is_on_disk(own_server: Server, name: str, value: str) -> None:
    async with notes(own_server) as place:
        assert await place.setting(name) == value


@some
async def test_a_paused_server_answers_nobody_until_it_is_resumed(own_server: Server) -> None:
    await write(own_server, "there")
    async with notes(own_server) as place:
        own_server.pause()
        old, new = asyncio.create_task(place.read()), asyncio.create_task(read(own_server))
        answered, _ = await asyncio.wait({old, new}, timeout=0.5)
        assert not answered
        own_server.resume()
        await asyncio.wait_for(asyncio.gather(old, new), 5)
    assert (old.result(), new.result()) == ("there", "there")


@some
async def test_a_paused_server_can_be_killed_and_stopped(own_server: Server) -> None:
    await write(own_server, "kept")
    own_server.pause()
    own_server.kill9()
    own_server.start()
    assert await read(own_server) == "kept"
    own_server.pause()
    own_server.restart()
    assert await read(own_server) == "kept"


async def test_an_emptied_store_is_as_new(own_server: Server) -> None:
    skip_if_it_cannot_be_emptied(own_server)
    async with notes(own_server) as old:
        await old.write("gone")
        own_server.empty()
    assert await read(own_server) is None
    await write(own_server, "new")
    assert await read(own_server) == "new"


@some
async def test_a_server_whose_url_is_given_serves_and_cannot_be_broken(own_server: Server) -> None:
    kind = next(kind for kind in KINDS.values() if own_server.url.startswith(kind.url(0).split(":")[0]))
    given = Given(kind, own_server.url)
    given.start()
    await write(given, "gone")
    given.empty()
    assert await read(own_server) is None
    for what in (given.stop, given.kill9, given.pause, given.resume):
        with pytest.raises(ServerUnavailable, match=kind.variable):
            what()
    given.close()
    await write(own_server, "there")


@some
async def test_a_server_is_started_in_the_main_thread(own_server: Server) -> None:
    if not isinstance(own_server, Native):
        pytest.skip("a container does not die with a thread")
    own_server.stop()
    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(own_server.start)


# What is left of them. Containers leave nothing either: their own reaper sees to that.

natively = pytest.mark.skipif(
    not all(kind.program() for kind in KINDS.values()), reason="here the servers come from containers or by their URLs"
)

SESSION = """
import sys
from tests.servers import KINDS, shared
from tests.servers.native import Native
names = sys.argv[1:] or [name for name in KINDS if KINDS[name].program()]
servers = [Native(KINDS[name]) for name in names]
for server in servers:
    server.start()
    server.kill9()
    server.start()
    server.pause()
    server.resume()
print("ready", flush=True)
if sys.stdin.readline() == "close\\n":
    for server in servers:
        server.close()
"""


@contextmanager
def session(*command: str, path: str = str(ROOT), kinds: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A process with one server of each of these kinds, or of all, which have been broken and started again."""
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        [*(command or [sys.executable]), "-c", SESSION, *kinds],
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process


def left_by(pid: int, base: Path = BASE) -> list[Path]:
    """The folders of a session's servers."""
    return list(base.glob(f"*.{pid}.*"))


@natively
async def test_servers_that_were_closed_leave_nothing() -> None:
    with session(kinds=SOME) as process:
        folders = left_by(process.pid)
        assert len(folders) > len(SOME)
        assert any(map(processes_in, folders))
        process.communicate("close\n")
    assert left_by(process.pid) == []
    assert not any(map(processes_in, folders))


@natively
@pytest.mark.timeout(300)
async def test_servers_die_with_a_killed_session_and_the_next_one_sweeps_up() -> None:
    with session() as process:
        folders = left_by(process.pid)
        assert any(map(processes_in, folders))
        process.kill()
    await until(lambda: not any(map(processes_in, folders)))
    for kind in KINDS.values():
        sweep(kind)
    assert left_by(process.pid) == []


@natively
async def test_a_sweep_spares_the_servers_of_those_who_live() -> None:
    with session(kinds=SOME) as process:
        folders = left_by(process.pid)
        for kind in KINDS.values():
            sweep(kind)
        assert left_by(process.pid) == folders
        process.communicate("close\n")


@natively
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.getuid() != 0, reason="all of these tests show it")
def test_a_normal_user_has_servers_too() -> None:
    with TemporaryDirectory() as name:
        copy_for_all(Path(name))
        with session(*BECOME_NOBODY, a_python_for_nobody(), path=name) as process:
            folders = left_by(process.pid, BASE.with_name("asyncdq-servers-65534"))
            assert {member.username() for each in folders for member in processes_in(each)} == {"nobody"}
            process.communicate("close\n")
    assert not any(folder.exists() for folder in folders)


BECOME_NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]


def a_python_for_nobody() -> str:
    """An interpreter that is not in a private place, as ours may be."""
    tries = [sys.executable, "/usr/bin/python3"]
    return next(
        each for each in tries if not subprocess.run([*BECOME_NOBODY, each, "-V"], capture_output=True).returncode
    )


def copy_for_all(folder: Path) -> None:
    """What servers need, where everyone may read it: a checkout and its environment may be in a private place."""
    folder.chmod(0o755)
    shutil.copytree(ROOT / "tests" / "servers", folder / "tests" / "servers")
    spec = find_spec("psutil")
    assert spec
    assert spec.submodule_search_locations
    shutil.copytree(spec.submodule_search_locations[0], folder / "psutil")

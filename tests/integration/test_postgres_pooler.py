"""PgBouncer in transaction mode between the driver and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from asyncdq.drivers.postgres import PostgresDriver
from asyncdq.message import Again, Done, Message
from tests.servers.server import Server

from .standbys import make_read_only, several

pytestmark = pytest.mark.parametrize("queue_url", ["postgres"], indirect=True)


def message(id: str) -> Message:
    return Message(id, "work", b"")


@pytest.fixture
def pgbouncer(queue_url: str) -> Iterator[str]:
    """The URL of the same database through PgBouncer in transaction mode."""
    with through_pgbouncer(queue_url) as url:
        yield url


@contextmanager
def through_pgbouncer(url: str) -> Iterator[str]:
    """The URL of this database through a PgBouncer in transaction mode."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("apt-get install pgbouncer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = urlsplit(url)
    folder = Path(f"/tmp/asyncdq-pgbouncer-{port}")  # pytest's own folders are closed to the user that it runs as
    folder.mkdir()
    (folder / "users").write_text('"asyncdq" "asyncdq"\n')
    (folder / "ini").write_text(
        f"[databases]\nasyncdq = host={server.hostname} port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
        "pool_mode = transaction\ndefault_pool_size = 4\n"
    )
    user = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None  # as root it refuses to run
    process = subprocess.Popen([program, f"{folder}/ini"], stderr=subprocess.DEVNULL, user=user)
    try:
        _answered(port)
        yield server._replace(netloc=f"asyncdq:asyncdq@127.0.0.1:{port}").geturl()
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _answered(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # between two tries
        else:
            return


async def test_a_pooler_in_transaction_mode_is_recognized_and_survived(pgbouncer: str) -> None:
    async with PostgresDriver(pgbouncer) as driver:
        assert not driver.limits.keeps_sent
        assert driver._link.pooled
        await driver.setup()
        waiter = asyncio.create_task(driver.wait(["work"], 30))
        await asyncio.gather(*(driver.enqueue([message(f"{number}")]) for number in range(50)))
        async with asyncio.timeout(5):
            await waiter
        shares = await asyncio.gather(*(driver.dequeue({"work": 5}, 5, 60) for _ in range(20)))
        found = [each for share in shares for each in share]
        assert await driver.settle([(each, Again(0, counted=True)) for each in found]) == []
        found = await driver.dequeue({"work": 100}, 100, 60)
        assert sorted(int(each.id) for each in found) == [*range(50)]
        told: list[str] = []
        for part in found[:25], found[25:]:
            assert await driver.settle_telling([(each, Done()) for each in part], lambda: told.append("sent")) == []
        assert not told  # each statement leaves a trip later


async def test_an_enqueue_through_a_pooler_wakes_who_listens_directly(queue_url: str, pgbouncer: str) -> None:
    async with PostgresDriver(queue_url) as driver, PostgresDriver(pgbouncer) as producer:
        await producer.setup()
        waiter = asyncio.create_task(driver.wait(["work"], 30))
        await asyncio.sleep(0.1)  # it listens now
        began = time.monotonic()
        await producer.enqueue([message("a")])
        await waiter
        assert time.monotonic() - began < 0.9  # sooner than it would have looked by itself


@pytest.mark.parametrize("own_server", ["postgres"], indirect=True)
async def test_of_several_poolers_the_one_whose_server_can_be_written_now_is_used(
    own_server: Server, queue_url: str
) -> None:
    await make_read_only(own_server.url)
    with through_pgbouncer(own_server.url) as first, through_pgbouncer(queue_url) as second:
        for id, read_only, used in ("a", True, queue_url), ("b", False, own_server.url), ("c", True, queue_url):
            await make_read_only(own_server.url, read_only)  # a failover; PgBouncer's greeting remains that of before
            async with PostgresDriver(several(first, second)) as driver:
                await driver.setup()
                await driver.enqueue([message(id)])
            async with PostgresDriver(used) as driver:
                assert [each.id for each in await driver.dequeue({"work": 9}, 9, 60)] == [id]


async def test_a_pooler_that_refuses_a_parameter_is_recognized_whatever_the_next_host_is(pgbouncer: str) -> None:
    async with PostgresDriver(several(pgbouncer, "postgresql://asyncdq@127.0.0.1:1/asyncdq")) as driver:
        assert driver._link.pooled

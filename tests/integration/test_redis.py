"""What is special to Redis: the server that goes away and comes back, who may talk to it, and how."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from asyncdq import Client
from asyncdq.drivers.redis import RedisDriver
from asyncdq.drivers.redis_link import explain, plain
from asyncdq.errors import ConfigurationError, ConnectionLost, DriverError
from asyncdq.message import Call, CallOptions, Dead, Delivery, Done, Message
from asyncdq.settings import load
from tests.servers import Server, private
from tests.servers.fixtures import new_store, skip_unless_selected
from tests.servers.ports import free_port
from tests.servers.proxy import Proxy

from .workers import until

SOON = 5.0
LONG = 60.0

Program = Callable[..., int]


@pytest.fixture(autouse=True)
def _selected(request: pytest.FixtureRequest) -> None:
    skip_unless_selected("redis", request.config)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty database of the server that all tests share."""
    return new_store("redis", tmp_path)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that the test may break."""
    with private("redis") as server:
        yield server


@pytest.fixture
async def driver(url: str) -> AsyncIterator[RedisDriver]:
    async with RedisDriver(url) as driver:
        yield driver


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Starts one more redis-server with arguments of the test's own; returns its port."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        pytest.skip("needs redis-server or valkey-server on this machine")
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, file: str = "") -> int:
        while True:
            port = free_port()
            config = tmp_path / f"{port}.conf"
            config.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n{file}\n")
            process = subprocess.Popen([found, str(config), *arguments], stdout=subprocess.DEVNULL)
            started.append(process)
            if ready(port, process):
                return port
            # A cluster opens a second port, 10,000 above its own, and the system may have given that to a client.
            assert "--cluster-enabled" in arguments

    yield start
    for process in started:
        process.kill()
        process.wait()


def ready(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the server at this port answers; False if its process has ended."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        with suppress(RedisError), Redis(port=port) as client:
            client.ping()
            return True
        time.sleep(0.01)  # a process that starts says nothing to us
    raise AssertionError(f"no Redis at port {port}")


def tell(url: str, *command: str) -> object:
    """The server's answer to a command that is not the driver's."""
    with Redis.from_url(url) as client:
        answer: object = client.execute_command(*command)
        return answer


def message(id: str, queue: str = "work", body: bytes = b"body") -> Message:
    return Message(id, queue, body)


async def claim(driver: RedisDriver, lease: float = LONG) -> list[Delivery]:
    return await driver.dequeue({"work": 500}, 500, lease)


async def listening(driver: RedisDriver) -> asyncio.Task[None]:
    """A wait that is under way, and has looked at the queue."""
    await driver.wait(["work"], 0.05)
    waiter = asyncio.create_task(driver.wait(["work"], LONG))
    await asyncio.sleep(0.05)  # nothing announces that a wait has begun; too early only makes the test easier
    return waiter


def accepts(port: int, *command: str) -> bool:
    """Whether the server took this command."""
    with suppress(RedisError):
        tell(f"redis://127.0.0.1:{port}", *command)
        return True
    return False


async def works_again(driver: RedisDriver) -> None:
    """The driver serves calls, after at most a few that find the connection lost."""
    async with asyncio.timeout(SOON):
        while True:
            with suppress(ConnectionLost):
                await driver.stats("work")
                return
            await asyncio.sleep(0.02)  # between two tries, as a worker makes them


# The server goes away


async def test_what_was_confirmed_survives_a_killed_server_and_the_driver_goes_on(server: Server) -> None:
    async with RedisDriver(server.url) as driver:
        await driver.enqueue([message("done"), message("a"), message("b")])
        held = await driver.dequeue({"work": 2}, 2, LONG)
        assert await driver.settle([(held[0], Done())]) == []
        server.kill9()
        with pytest.raises(ConnectionLost):
            await driver.stats("work")
        server.start()
        await works_again(driver)
        assert await driver.settle([(held[1], Done())]) == []
        assert [each.id for each in await claim(driver)] == ["b"]


async def test_a_wait_ends_when_the_server_is_killed_and_the_next_one_is_woken(server: Server) -> None:
    async with RedisDriver(server.url) as driver:
        waiter = await listening(driver)
        server.kill9()
        async with asyncio.timeout(SOON):
            await asyncio.wait([waiter])
        server.start()
        await works_again(driver)
        waiter = await listening(driver)
        await driver.enqueue([message("a")])
        async with asyncio.timeout(0.8):
            await waiter


async def test_a_frozen_server_is_a_lost_connection_and_a_thawed_one_serves_again(server: Server) -> None:
    async with RedisDriver(server.url, timeout=0.3) as driver:
        server.pause()
        calls = [driver.enqueue([message("a")]), driver.stats("work"), claim(driver), driver.stats("work")]
        began = time.monotonic()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, ConnectionLost) for answer in answers)
        assert 0.3 <= time.monotonic() - began < SOON
        server.resume()
        await works_again(driver)


async def test_a_wait_on_a_frozen_server_ends_in_time(server: Server) -> None:
    async with RedisDriver(server.url, timeout=0.3) as driver:
        server.pause()
        async with asyncio.timeout(SOON):
            with pytest.raises(ConnectionLost):
                await driver.wait(["work"], LONG)
            await driver.wait(["work"], 0.01)
        server.resume()


async def test_connecting_to_a_frozen_server_fails_in_time(server: Server) -> None:
    server.pause()
    driver = RedisDriver(server.url, timeout=0.2)
    async with asyncio.timeout(SOON):
        with pytest.raises(ConnectionLost, match="did not answer"):
            await driver.connect()
    assert not driver.connected


async def test_nobody_at_the_address_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1"):
        await RedisDriver(f"redis://127.0.0.1:{free_port()}").connect()


async def test_a_call_after_all_tasks_were_cancelled_goes_through(driver: RedisDriver) -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:  # as asyncio.run does, before the others tidy up
        task.cancel()
    await asyncio.sleep(0)
    assert await driver.enqueue([message("a")]) == []
    assert [each.id for each in await claim(driver)] == ["a"]


async def test_a_driver_that_is_closed_after_all_tasks_were_cancelled_leaves_nothing_running(url: str) -> None:
    driver = RedisDriver(url)
    await driver.connect()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    call = asyncio.ensure_future(driver.enqueue([message("a")]))
    await asyncio.sleep(0)
    await driver.disconnect()
    await asyncio.wait([call])
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("asyncdq-redis")]


# Connections and scripts that the server forgets


async def test_a_connection_that_was_closed_a_moment_ago_costs_no_call(driver: RedisDriver, url: str) -> None:
    await driver.enqueue([message("a")])
    await asyncio.sleep(0.1)  # longer than a connection is trusted without a look
    tell(url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await driver.enqueue([message("b")]) == []


async def test_a_connection_that_is_read_no_more_holds_up_no_later_call(url: str) -> None:
    async with Proxy(url) as proxy, RedisDriver(proxy.url, timeout=1.0) as driver:
        await driver.enqueue([message("a")])
        proxy.stall()
        first = asyncio.ensure_future(driver.enqueue([message("b")]))
        await asyncio.sleep(0.7)  # so that the next one has time left when this one has none
        second = asyncio.ensure_future(driver.enqueue([message("c", body=bytes(8 * 2**20))]))
        for call in first, second:
            with pytest.raises(ConnectionLost):
                await call
        async with asyncio.timeout(0.5):
            assert await driver.enqueue([message("d")]) == []


async def test_a_subscription_that_broke_wakes_and_the_next_wait_hears_again(driver: RedisDriver, url: str) -> None:
    waiter = await listening(driver)
    assert tell(url, "CLIENT", "KILL", "TYPE", "pubsub") == 1
    async with asyncio.timeout(0.8):
        await waiter
    waiter = await listening(driver)
    await driver.enqueue([message("a")])
    async with asyncio.timeout(0.8):
        await waiter


async def test_a_subscription_that_was_lost_without_a_word_is_opened_again(url: str) -> None:
    async with Proxy(url) as proxy, RedisDriver(proxy.url, timeout=0.5) as driver, RedisDriver(url) as producer:
        await listening(driver)
        proxy.forget()
        took, numbers = LONG, count()
        async with asyncio.timeout(4 * SOON):
            while took > 0.4:  # else it was not woken, and has looked by itself
                with suppress(ConnectionLost):
                    await claim(driver)
                    waiter = await listening(driver)
                    began = time.monotonic()
                    await producer.enqueue([message(f"{next(numbers)}")])
                    await waiter
                    took = time.monotonic() - began


async def test_a_connection_that_the_server_closed_costs_one_call_at_most(driver: RedisDriver, url: str) -> None:
    await driver.enqueue([message("a")])
    tell(url, "CLIENT", "KILL", "TYPE", "normal")
    await works_again(driver)
    with suppress(ConnectionLost):
        await driver.enqueue([message("b")])
    await driver.enqueue([message("c")])
    assert {"a", "c"} <= {each.id for each in await claim(driver)}


async def test_scripts_that_were_flushed_are_brought_again(driver: RedisDriver, url: str) -> None:
    await driver.enqueue([message("a", "left"), message("b", "right")])
    tell(url, "SCRIPT", "FLUSH")
    again = [message("a", "left"), message("b", "right")]
    assert await driver.enqueue([*again, message("c", "right")]) == again
    tell(url, "SCRIPT", "FLUSH")
    found = await driver.dequeue({"left": 9, "right": 9}, 9, LONG)
    tell(url, "SCRIPT", "FLUSH")
    assert await driver.settle([(each, Done()) for each in found]) == []


async def test_a_server_that_runs_a_long_script_is_a_lost_connection(server: Server) -> None:
    tell(server.url, "CONFIG", "SET", "lua-time-limit", "20")
    async with RedisDriver(server.url) as driver:
        with Redis.from_url(server.url, socket_timeout=0.2) as client, suppress(RedisError):
            await asyncio.to_thread(client.eval, "while true do end", 0)
        with pytest.raises(ConnectionLost, match="cannot serve now"):
            await driver.stats("work")
        tell(server.url, "SCRIPT", "KILL")
        await works_again(driver)


# What is kept


async def test_nothing_is_left_of_what_is_done(driver: RedisDriver, url: str) -> None:
    await driver.enqueue([message("a"), message("b"), Message("c", "work", b"", 0.01)])
    finished = 0
    while finished < 3:
        found = await claim(driver)
        finished += len(found)
        await driver.settle([(each, Done()) for each in found])
        await driver.wait(["work"], 0.05)
    assert tell(url, "KEYS", "*") == []


async def test_drivers_of_another_prefix_or_database_see_nothing(driver: RedisDriver, url: str) -> None:
    await driver.enqueue([message("a")])
    async with RedisDriver(url, prefix="asyncdq:b") as other, RedisDriver(f"{url[:-1]}1") as database:
        assert (await other.queues(), await database.queues()) == ([], [])
        assert await claim(other) == await claim(database) == []
        await other.enqueue([message("a")])
        assert (await other.queues(), await driver.queues()) == (["work"], ["work"])


async def test_a_failing_part_of_a_batch_names_what_was_stored(driver: RedisDriver, url: str) -> None:
    tell(url, "SET", "{asyncdq:broken}:bodies", "not a hash")
    batch = [message("a"), message("b", "broken"), message("c")]
    with pytest.raises(DriverError, match="WRONGTYPE") as caught:
        await driver.enqueue(batch)
    assert caught.value.stored == (batch[0], batch[2])


async def test_large_batches_of_large_bodies_go_through(driver: RedisDriver) -> None:
    body = bytes(2**20) * 3
    await driver.enqueue([message(f"{number}", body=body) for number in range(10)])
    assert [len(each.body) for each in await claim(driver)] == [len(body)] * 10


async def test_a_full_server_refuses_messages_and_still_hands_out_what_it_has(server: Server) -> None:
    async with RedisDriver(server.url) as driver:
        await driver.enqueue([message("a"), message("b")])
        tell(server.url, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(DriverError, match="full") as caught:
            await driver.enqueue([message("c")])
        assert not isinstance(caught.value, ConnectionLost)
        done, buried = await claim(driver)
        assert await driver.extend([done], LONG) == []
        assert await driver.settle([(done, Done()), (buried, Dead("rejected"))]) == []
        assert (await driver.stats("work")).dead == 1


# Who may talk to which server


async def test_a_wrong_password_is_a_mistake_of_the_settings_and_is_not_repeated(server: Server) -> None:
    tell(server.url, "CONFIG", "SET", "requirepass", "open sesame")
    for password in (None, "hunter2"):
        with pytest.raises(ConfigurationError, match="password") as caught:
            await RedisDriver(server.url, password=password).connect()
        assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
    async with RedisDriver(server.url, password="open sesame") as driver:
        await driver.enqueue([message("a")])
    async with RedisDriver(server.url.replace("://", "://:open%20sesame@")) as driver:
        assert len(await claim(driver)) == 1


@pytest.mark.parametrize(("most", "opened"), [(2, 2), (3, 3), (4, 4), (100, 5)])
async def test_no_more_connections_than_allowed(server: Server, most: int, opened: int) -> None:
    async with RedisDriver(f"{server.url}?max_connections={most}") as driver:
        await asyncio.gather(*(driver.enqueue([message(f"{number}")]) for number in range(50)))
        found = await claim(driver)
        await asyncio.gather(*(driver.settle([(each, Done())]) for each in found))
        await asyncio.gather(*(driver.stats("work") for _ in range(50)), driver.wait(["work"], 0.1))
        assert str(tell(server.url, "CLIENT", "LIST")).count("name=asyncdq") == opened
        assert (driver.limits.keeps_sent > 0) == (
            opened >= 4
        )  # only on their own connection do outcomes go side by side


def test_one_connection_is_too_few_and_the_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="--redis-max-connections: 1 is not accepted"):
        load({"redis_max_connections": 1})


async def test_a_replica_is_refused_until_it_is_the_primary(server: Server) -> None:
    async with RedisDriver(server.url) as driver:
        await driver.enqueue([message("a")])
        tell(server.url, "REPLICAOF", "127.0.0.1", f"{free_port()}")
        with pytest.raises(ConnectionLost, match="replica"):
            await driver.enqueue([message("b")])
        with pytest.raises(ConnectionLost, match="replica"):
            await RedisDriver(server.url).connect()
        tell(server.url, "REPLICAOF", "NO", "ONE")
        assert await driver.enqueue([message("a")]) == [message("a")]


async def test_a_cluster_is_refused(program: Program) -> None:
    port = program("--cluster-enabled", "yes", "--save", "")
    with pytest.raises(ConfigurationError, match="Redis Cluster"):
        await RedisDriver(f"redis://127.0.0.1:{port}").connect()


async def test_a_database_that_does_not_exist_is_a_mistake_of_the_settings(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no database of the number 99"):
        await RedisDriver(f"{url[:-1]}99").connect()


async def test_a_user_who_may_not_is_a_mistake_of_the_settings(server: Server) -> None:
    tell(server.url, "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection")
    async with RedisDriver(server.url.replace("://", "://reader:pw@")) as driver:
        with pytest.raises(ConfigurationError, match="does not let this user"):
            await driver.enqueue([message("a")])


async def test_sentinels_say_where_the_primary_is(server: Server, program: Program) -> None:
    port = server.url.rpartition(":")[2].partition("/")[0]
    watch = f"sentinel monitor mymaster 127.0.0.1 {port} 1"
    sentinel = program("--sentinel", file=watch)
    nobody = free_port()
    async with RedisDriver(f"redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{sentinel}/mymaster/1") as driver:
        await driver.enqueue([message("a")])
    async with RedisDriver(f"{server.url[:-1]}1") as driver:
        assert [each.id for each in await claim(driver)] == ["a"]
    with pytest.raises(ConnectionLost, match="names a primary"):
        await RedisDriver(f"redis+sentinel://127.0.0.1:{sentinel}/another").connect()
    with pytest.raises(ConfigurationError, match=r"write redis\+sentinel"):
        await RedisDriver(f"redis://127.0.0.1:{sentinel}").connect()


async def test_a_plain_server_is_no_sentinel(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no Sentinel"):
        await RedisDriver(f"{url.replace('redis', 'redis+sentinel', 1).rpartition('/')[0]}/mymaster").connect()


async def test_after_a_failover_the_driver_works_on_the_new_primary(program: Program) -> None:
    first = program("--save", "")
    second = program("--save", "", "--replicaof", "127.0.0.1", f"{first}")
    watch = f"sentinel monitor mymaster 127.0.0.1 {first} 1\nsentinel failover-timeout mymaster 5000"
    sentinel = program("--sentinel", file=watch)
    with Redis(port=first) as primary, Redis(port=second) as replica, Redis(port=sentinel) as monitor:
        await until(lambda: primary.wait(1, 100) == 1)
        async with RedisDriver(f"redis+sentinel://127.0.0.1:{sentinel}/mymaster") as driver:
            await driver.enqueue([message("a")])
            await until(lambda: replica.dbsize() == primary.dbsize() > 0)  # a failover loses what it has not yet
            await until(lambda: accepts(sentinel, "SENTINEL", "FAILOVER", "mymaster"))
            await until(lambda: replica.info("replication")["role"] == "master")
            await until(lambda: monitor.sentinel_get_master_addr_by_name("mymaster")[1] == second)
            await works_again(driver)
            assert [each.id for each in await claim(driver)] == ["a"]
            assert replica.zcard("{asyncdq:work}:leased") == 1


async def test_a_socket_of_the_file_system_serves_as_well(program: Program, tmp_path: Path) -> None:
    program("--unixsocket", f"{tmp_path}/r.sock", "--save", "")
    async with RedisDriver(f"redis+unix://{tmp_path}/r.sock?db=2") as driver:
        await driver.enqueue([message("a")])
        assert len(await claim(driver)) == 1


def self_signed(folder: Path) -> tuple[str, str]:
    """The files of a key and of a certificate for localhost that nobody else has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = f"{folder}/key.pem", f"{folder}/cert.pem"
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*made.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return key, certificate


async def test_tls_checks_the_certificate(program: Program, tmp_path: Path) -> None:
    port = free_port()
    key, certificate = self_signed(tmp_path)
    program("--tls-port", f"{port}", "--tls-cert-file", certificate, "--tls-key-file", key,
            "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no", "--save", "")  # fmt: skip
    secure = f"rediss://localhost:{port}"
    with pytest.raises(ConfigurationError, match="certificate"):
        await RedisDriver(secure).connect()
    for options in (f"ssl_ca_certs={certificate}", "ssl_cert_reqs=none"):
        async with RedisDriver(f"{secure}?{options}") as driver:
            waiter = await listening(driver)
            await driver.enqueue([message(options.partition("=")[0])])
            async with asyncio.timeout(SOON):
                await waiter


async def test_a_server_without_tls_is_found_out(url: str) -> None:
    secure = url.replace("redis://", "rediss://")
    for wrong in (secure, f"{secure.replace('rediss', 'rediss+sentinel').rpartition('/')[0]}/mymaster"):
        async with asyncio.timeout(SOON):
            with pytest.raises(ConfigurationError, match="does not speak TLS"):
                await RedisDriver(wrong).connect()


# Other processes, and how fast


SCRIPT = """
import asyncio, sys
from asyncdq.drivers.redis import RedisDriver
from asyncdq.message import Done

async def main():
    async with RedisDriver(sys.argv[1]) as driver:
        await driver.wait(["work"], 0.05)
        print("ready", flush=True)
        left = 100
        while left:
            found = await driver.dequeue({"work": 7}, 7, 60)
            await driver.settle([(each, Done()) for each in found])
            left -= len(found)
            if not found:
                await driver.wait(["work"], 30)

asyncio.run(main())
"""


async def test_another_process_is_woken_and_finishes_everything(driver: RedisDriver, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", SCRIPT, url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(4 * SOON):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        for number in range(100):
            await driver.enqueue([message(f"{number}")])
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert (await driver.stats("work")).ready == 0


async def test_an_idle_waiter_is_woken_within_milliseconds(url: str) -> None:
    latencies: list[float] = []
    async with AsyncExitStack() as stack:
        waiter, producer = [await stack.enter_async_context(RedisDriver(url)) for _ in range(2)]
        for number in range(30):
            waiting = await listening(waiter) if number == 0 else asyncio.create_task(waiter.wait(["work"], LONG))
            await asyncio.sleep(0.005)  # lets the waiter fall asleep; it is the idle one that is measured
            began = time.perf_counter()
            await asyncio.gather(waiting, producer.enqueue([message(f"{number}")]))
            latencies.append(time.perf_counter() - began)
            await waiter.settle([(each, Done()) for each in await claim(waiter)])
    # 0.4 ms on an idle machine; the bound is for one that runs other tests beside this one.
    assert statistics.median(latencies) < 0.02


def test_the_command_line_works_a_queue_and_shows_it(url: str, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "from asyncdq import task\n\n@task(max_attempts=1)\ndef divide(n: int) -> None:\n    print('got', 1 // n)\n"
    )

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "asyncdq", *arguments, "--driver", "redis", "--redis-url", url]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    for argument in ("[1]", "[0]"):
        run("enqueue", "tasks.divide", argument)
    assert "default" in run("queues")
    assert "got 1" in run("worker", "tasks", "--burst", "--redis-max-connections", "2")
    assert "ZeroDivisionError" in run("dead", "list", "default")
    run("dead", "delete", "default", "--all", "--yes")
    assert tell(url, "KEYS", "*") == []


IN_SCRIPT = "Error running script (call to f_0123): @user_script:14: @user_script: 14: -"
"""How 6.2 begins what it says of a command that a script was refused."""


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("MISCONF Redis is configured to save RDB snapshots, but it cannot", ConnectionLost),
        ("READONLY You can't write against a read only replica.", ConnectionLost),
        ("OOM command not allowed when used memory > 'maxmemory'.", DriverError),
    ],
)
def test_what_an_old_server_says_in_a_script_is_understood(said: str, kind: type[DriverError]) -> None:
    address = RedisDriver("redis://localhost")._address
    assert type(explain(plain(ResponseError(IN_SCRIPT + said)), address)) is kind


def connections_to(url: str) -> int:
    """How many this process has to the server at this URL."""
    port = urlsplit(url).port
    return sum(bool(each.raddr) and each.raddr.port == port for each in psutil.Process().net_connections("tcp"))


async def test_what_could_not_be_sent_in_time_keeps_no_connection_open(url: str) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with Proxy(url) as proxy, RedisDriver(proxy.url, timeout=0.5) as driver:
        for name in "bcd":
            await driver.enqueue([message(f"before {name}")])
            proxy.stall()
            with pytest.raises(ConnectionLost):
                await driver.enqueue([message(name, body=bytes(12 * 2**20))])
        assert await driver.enqueue([message("e")]) == []
        assert connections_to(proxy.url) <= 2
    await until(lambda: connections_to(proxy.url) == 0)
    assert complaints == []


@pytest.mark.slow
async def test_a_connection_that_was_forgotten_while_it_was_quiet_costs_no_call(url: str) -> None:
    async with Proxy(url) as proxy, RedisDriver(proxy.url, timeout=3.0) as driver:
        await driver.enqueue([message("a")])
        await asyncio.sleep(15.5)  # longer than a connection is used without a question
        proxy.forget()
        assert await driver.enqueue([message("b")]) == []


async def test_a_queue_that_is_waited_for_twice_disturbs_nobody(driver: RedisDriver) -> None:
    waiter = await listening(driver)
    await driver.wait(["other", "other"], 0.2)
    assert not waiter.done()
    await driver.enqueue([message("a")])
    async with asyncio.timeout(0.8):
        await waiter


async def test_a_cancelled_connect_ends_at_once_and_leaves_nothing() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        driver = RedisDriver(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=20.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await driver.connect()
        assert [task for task in asyncio.all_tasks() if task.get_name() == "asyncdq-redis"] == []


@pytest.fixture
def visitor(url: str) -> Iterator[str]:
    """A URL for a user who may write to the queue `mail` only, and publish nothing."""
    parts, database = urlsplit(url), urlsplit(url).path
    user = f"visitor{parts.path.strip('/')}"
    tell(url, "ACL", "SETUSER", user, "on", ">secret-enough", "~{asyncdq:mail}:*", "resetchannels", "+@all")
    yield f"redis://{user}:secret-enough@{parts.hostname}:{parts.port}{database}"
    tell(url, "ACL", "DELUSER", user)


async def test_what_was_stored_beside_a_queue_that_is_forbidden_is_named(visitor: str) -> None:
    async with RedisDriver(visitor) as driver:
        with pytest.raises(DriverError, match="does not let this user") as caught:
            await driver.enqueue([message("a", "mail"), message("b", "other")])
        assert [each.id for each in caught.value.stored] == ["a"]
    async with Client(visitor) as client:
        calls = [Call[None]("nobody", (), {}, CallOptions(queue=queue)) for queue in ("mail", "other", "mail")]
        results = await asyncio.gather(*(client.send([call]) for call in calls), return_exceptions=True)
        assert [isinstance(result, ConfigurationError) for result in results] == [False, True, False]
        assert (await client.driver.stats("mail")).ready == 3

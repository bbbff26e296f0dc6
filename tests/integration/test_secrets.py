"""Secrets appear nowhere: not in what commands print, in logs, errors, events, tables, titles or texts of objects."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis

from asyncdq import Client, drivers
from asyncdq.cli.app import run
from asyncdq.drivers.base import BaseDriver
from asyncdq.errors import AsyncdqError, DriverError
from asyncdq.settings import load, options
from tests.unit.test_url import assert_hidden, urls

from . import jobs
from .workers import JOBS, ROOT, Site, sqlite_only

SECRET = "hunter2"
PASSWORD = f"p%40%3A%2F{SECRET}"  # p@:/hunter2: what a careless rule would cut in the wrong place
KEY = f"a-signing-key-{SECRET}"
NOWHERE = "127.0.0.1:1"  # nothing listens there

# One environment with every option that can hold a secret; `driver` picks which are used.
SECRETS: Mapping[str, str] = {
    "redis_url": f"redis://me:{PASSWORD}@{NOWHERE}?sentinel_password={PASSWORD}",
    "redis_password": SECRET,
    "postgres_dsn": f"postgresql://me:{PASSWORD}@{NOWHERE}/db",
    "mysql_dsn": f"mysql://me:{PASSWORD}@{NOWHERE}/db",
    "rabbitmq_url": f"amqp://me:{PASSWORD}@{NOWHERE}/",
    "aws_access_key_id": "AKIA",
    "aws_secret_access_key": SECRET,
    "sqs_endpoint_url": f"http://{NOWHERE}",
    "events_redis_url": f"redis://me:{PASSWORD}@{NOWHERE}",
    "events_enable_event_emitter_redis": "true",
    "signing_keys": KEY,
}
ENVIRONMENT = {f"ASYNCDQ_{name.upper()}": value for name, value in SECRETS.items()}

DRIVERS = ["redis", "postgres", "mysql", "rabbitmq", "sqs"]

URLS = [
    *(f"{scheme}://me:{PASSWORD}@{NOWHERE}" for scheme in ("redis", "rediss", "valkey", "valkeys")),
    f"redis://{NOWHERE}?password={PASSWORD}",
    f"redis+sentinel://me:{PASSWORD}@{NOWHERE}/service?sentinel_password={PASSWORD}",
    f"redis+unix://me:{PASSWORD}@/nowhere.sock",
    f"postgresql://me:{PASSWORD}@{NOWHERE}/db?sslmode=require",
    f"postgresql://me@{NOWHERE}/db?password={PASSWORD}",
    f"mysql://me:{PASSWORD}@{NOWHERE}/db?ssl_mode=required",
    f"amqps://me:{PASSWORD}@{NOWHERE}/",
    f"sqs://AKIA:{PASSWORD}@us-east-1?endpoint_url=http://{NOWHERE}",
]

MISTYPED = [
    f"redis:me:{SECRET}@h",
    f"redis//:{SECRET}@h",
    f"redis://me:{SECRET}",
    f"redis://me:{SECRET}@h:port",
    f"redis://me:a?{SECRET}@h",
    f"redis://me:a#{SECRET}@h",
    f"postgresql://me:{SECRET}@h:70000/db",
    f"postgresql://me:a?{SECRET}@h/db",
    f"mysql://me:a?{SECRET}@h/db",
    f"mysql://me:{SECRET}@h",
    f"mysql://me:{SECRET}@h:port/db",
    f"amqp://me:{SECRET}@h:port/",
    f"amqp://me:{SECRET}@[h/",
    f"amqp://me:a?{SECRET}@h/",
    f"sqs://AKIA:{SECRET}@us east",
    f"sqs://AKIA:a?{SECRET}@us-east-1",
    f"redis+unix://me:a/{SECRET}@/nowhere.sock?x",
    f"redis://{NOWHERE}?password=a&{SECRET}",
    f"redis://{NOWHERE}?password=a&{SECRET}=1",
    f"mysql://{NOWHERE}/db?ssl_password=a&{SECRET}=1",
    f"postgresql://{NOWHERE}/db?password=a&{SECRET}=1",
    f"amqps://{NOWHERE}/?password=a&{SECRET}",
    f"sqs://us-east-1?aws_secret_access_key=a&{SECRET}=",
    f"redis://{NOWHERE}?password=a#{SECRET}",
    f"mongodb://me:{SECRET}@h",
    f"me:{SECRET}@h",
]

COMMANDS = [
    ["queues"],
    ["enqueue", "shop.sell"],
    ["migrate", "--dry-run"],
    ["dead", "list", "default"],
    ["purge", "default", "--yes"],
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """An empty working directory, no options, and a log that hears everything, client libraries included."""
    for name in [name for name in os.environ if name.startswith("ASYNCDQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        yield tmp_path
    assert SECRET not in caplog.text


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment with all secrets."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


async def reached(driver: BaseDriver) -> None:
    await driver.connect()
    await driver.setup()


def title_of(pid: int) -> str:
    """What `ps` shows of a process, where the system has files for that."""
    file = Path(f"/proc/{pid}/cmdline")
    return file.read_text() if file.exists() else ""


def hidden(text: str) -> None:
    assert SECRET not in text, [line for line in text.splitlines() if SECRET in line]


def test_every_option_that_can_hold_a_secret_is_tried_here() -> None:
    holds = [each.name for each in options() if each.is_secret or each.name.endswith(("_url", "_dsn"))]
    assert {*holds} <= SECRETS.keys()


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_that_finds_no_server_prints_no_secret(
    command: list[str], driver: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--driver", driver]) == 1
    out, errors = capfd.readouterr()
    assert errors.startswith("error: ")
    hidden(out + errors)


@pytest.mark.parametrize("url", [*URLS, *MISTYPED])
def test_neither_a_url_nor_what_was_meant_as_one_is_printed_with_its_secret(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["queues", "--url", url]) in (1, 2)
    assert run(["events", "--events-redis-url", url, "--url", "redis://localhost"]) in (1, 2)
    assert run(["queues", "--driver", url]) == 2
    out, errors = capfd.readouterr()
    assert len(errors.splitlines()) == 3
    hidden(out + errors)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("command", [["--help"], *([*each[:2], "--help"] for each in COMMANDS), ["worker", "--help"]])
def test_the_help_shows_no_value_of_the_environment(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 0
    hidden("".join(capfd.readouterr()))


@pytest.mark.parametrize("url", URLS)
async def test_no_text_of_a_driver_or_an_error_with_all_its_causes_has_a_secret(url: str) -> None:
    driver = drivers.from_url(url)
    hidden(
        f"{driver!r} {driver} {Client(driver, signing_keys=KEY)!r} {load({'url': url})!r} {load({'url': url}).place}"
    )
    with pytest.raises(DriverError) as caught:
        await reached(driver)
    hidden("".join(traceback.format_exception(caught.value)))
    await driver.disconnect()


@given(urls())
@hypothesis(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_error_of_a_connection_has_a_piece_of_a_secret(typed: tuple[str, str]) -> None:
    secret, url = typed
    try:
        asyncio.run(reached(drivers.from_url(url)))
    except AsyncdqError as error:
        assert_hidden(secret, "".join(traceback.format_exception(error)))


@pytest.mark.usefixtures("told")
def test_no_text_of_the_settings_has_a_secret() -> None:
    hidden(f"{load()!r} {load()}")


@pytest.mark.parametrize("queue_url", ["redis", "postgres", "mysql", "rabbitmq"], indirect=True)
async def test_a_refused_password_is_not_repeated(queue_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    parts = urlsplit(queue_url)
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key != "password"])
    place = parts.netloc.rpartition("@")[2]
    url = parts._replace(netloc=f"nobody:{PASSWORD}@{place}", query=query).geturl()
    # In a thread: a command has an event loop of its own.
    code = await asyncio.to_thread(run, ["queues", "--url", url])
    out, errors = capfd.readouterr()
    assert (code, len(errors.splitlines())) in ((1, 1), (2, 1))
    hidden(out + errors)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_neither_the_log_nor_the_title_of_a_worker_has_a_secret(driver: str, form: str, folder: Path) -> None:
    (folder / "shop.py").write_text("from asyncdq import task\n@task\ndef sell() -> None: ...\n")
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "ASYNCDQ_DRIVER": driver}
    command = [sys.executable, "-m", "asyncdq", "worker", "shop", "--log-level", "debug", "--log-format", form]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True) as worker:
        try:
            assert worker.stderr is not None
            lines: list[str] = []
            while "connection lost" not in "".join(lines[-1:]):
                lines.append(worker.stderr.readline())
                assert lines[-1], lines
            hidden(title_of(worker.pid))
            worker.send_signal(signal.SIGTERM)
            out, errors = worker.communicate(timeout=30)
        finally:
            worker.kill()
    hidden("".join(lines) + out + errors)


@sqlite_only
async def test_neither_titles_of_processes_nor_the_store_nor_dead_letters_have_a_key(site: Site) -> None:
    site.environment["ASYNCDQ_SIGNING_KEYS"] = KEY
    async with Client(site.client.driver, signing_keys=KEY) as client:
        await client.enqueue_many([jobs.hold_in_process.bind(site.gate), jobs.fail.bind()])
    await site.client.enqueue_many([jobs.mark.bind()])
    worker = site.start("--log-level", "debug", modules=(JOBS,))
    start = (await site.until(lambda: [each for each in site.ledger.starts() if each.pid != worker.pid]))[0]
    hidden(title_of(start.pid))
    site.open_gate()
    await site.wait_for_stats(ready=0, leased=0, dead=2)
    hidden(worker.log + worker.output + repr(await site.dead()))
    path = Path(urlsplit(site.url).path)
    files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
    assert [file.name for file in files if KEY.encode() in file.read_bytes()] == []
    assert path in files

"""The pickle serializer: what it keeps, whom it warns, and that nobody reads it who has not asked for it."""

from __future__ import annotations

import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from asyncdq import Client, Worker, task
from asyncdq.drivers.base import DeadLetters
from asyncdq.errors import UndecodableBody, UnserializableArgument
from asyncdq.serializers import load

ROOT = Path(__file__).resolve().parents[2]
seen: list[object] = []


@task(name="tests.keep", max_attempts=1)
async def keep(value: object) -> None:
    seen.append(value)


async def worked(url: str, written: str, read: str) -> list[str]:
    """The reasons of the dead letters after a call that was written so met a worker that reads so."""
    seen.clear()
    async with Client.from_url(url, serializer=written) as client:
        await client.enqueue(keep, Fraction(1, 3) if written == "pickle" else "plain")
        await Worker(client.driver, burst=True, serializer=read).start(handle_signals=False)
        assert isinstance(client.driver, DeadLetters)
        return [letter.reason for letter in await client.driver.dead("default", 10)]


def test_what_goes_in_comes_out() -> None:
    value = [[Fraction(1, 3), {1, (2, "a")}], {"path": ROOT}]
    serializer = load("pickle")
    assert serializer.loads(serializer.dumps(value)) == value
    assert serializer.content_type == "application/x-python-pickle"


def test_what_cannot_be_pickled_is_refused_with_its_place() -> None:
    with pytest.raises(UnserializableArgument):
        load("pickle").dumps([[lambda: None], {}])


@pytest.mark.parametrize("data", [b"", b"nonsense", b"cnowhere\nnothing\n."])
def test_what_is_no_pickle_is_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableBody, match="not a readable pickle"):
        load("pickle").loads(data)


async def test_a_worker_that_asked_for_it_reads_it_and_the_others_too() -> None:
    assert await worked("sqlite://:memory:", "pickle", "pickle") == []
    assert seen == [Fraction(1, 3)]
    assert await worked("sqlite://:memory:", "json", "pickle") == []
    assert seen == ["plain"]


@pytest.mark.parametrize("read", ["msgpack", "json"])
async def test_a_worker_that_did_not_ask_for_it_never_unpickles(read: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncdq.worker")
    assert await worked("sqlite://:memory:", "pickle", read) == ["undecodable"]
    assert seen == []


def test_who_uses_it_is_warned_once() -> None:
    code = "from asyncdq.serializers import load; load('json'); load('pickle'); load('pickle')"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stderr == "pickle: whoever can write to the queue can run any code in workers that read it\n"

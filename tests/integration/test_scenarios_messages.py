"""Messages and errors that are wrong in every way: each hurts only itself."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter

import msgpack
import pytest

from asyncdq import RetryPolicy
from asyncdq.errors import BodyTooLarge
from asyncdq.serializers.json import JsonSerializer

from . import jobs
from .bodies import envelope, put
from .workers import Site, sqlite_only


async def reasons(site: Site) -> Counter[str]:
    return Counter(letter.reason for letter in (await site.dead()).values())


async def test_malformed_bodies_are_buried_and_the_good_ones_among_them_are_done(site: Site) -> None:
    noise = random.Random(8)
    good = envelope(jobs.mark.name)
    for _ in range(100):
        await put(site, b"\xc1" + noise.randbytes(200), noise.randbytes(noise.randrange(200)), good[:-2])
        await put(site, envelope("no.such.task"), envelope(jobs.mark.name, version=2))
        await site.enqueue([jobs.mark.bind()])
    most = min(2**20, site.client.driver.limits.body)
    await put(site, b"", b"\0", b"\0" * most, noise.randbytes(most), b"\x93\0\0\0", good + b"\0")
    worker = site.start("--task-defaults-retry-delay", "0.01", "-c", "50", "-v", "error")
    await site.until(lambda: not site.ledger.lost())
    await site.wait_for_stats(dead=506)  # not a burst: it may end while retries are delayed, a second each on SQS
    worker.signal(signal.SIGTERM)
    assert await worker.exited() == 0
    counted = await reasons(site)
    assert counted.total() == 506
    assert counted["undecodable"] >= 290
    assert counted["unknown"] >= 200


async def test_unknown_tasks_and_newer_versions_have_their_attempts_before_they_are_buried(site: Site) -> None:
    unknown, newer = await put(site, envelope("no.such.task"), envelope(jobs.mark.name, version=9))
    (broken,) = await put(site, b"broken")
    await site.burst(retry=RetryPolicy(max_attempts=4, delay=0))
    letters = await site.dead()
    assert {id: letters[id].attempts for id in letters} == {unknown: 4, newer: 4, broken: 1}
    assert "start the worker with the module" in letters[unknown].error
    assert "upgrade the worker" in letters[newer].error


@sqlite_only
@pytest.mark.parametrize("name", ["os:system", "os.system", "builtins.exec", "/bin/sh", "../evil.py", "subprocess"])
async def test_a_message_that_names_code_is_never_run(name: str, site: Site) -> None:
    (site.folder / "evil.py").write_text("import pathlib\npathlib.Path('pwned').touch()\n")
    await put(site, envelope(name, [[f"touch {site.folder}/pwned"], {}]))
    await site.burst(retry=RetryPolicy(max_attempts=2, delay=0))
    assert await reasons(site) == {"unknown": 1}
    assert not (site.folder / "pwned").exists()


async def test_after_two_hundred_failures_in_a_row_the_next_task_is_run(site: Site) -> None:
    await site.enqueue(jobs.fail.bind() for _ in range(200))
    (last,) = await site.enqueue([jobs.mark.bind()])
    await site.burst()
    assert await reasons(site) == {"attempts": 200}
    assert site.ledger.successes() == {last: 1}


async def test_an_exit_a_ctrl_c_or_a_cancellation_is_the_end_of_that_task_alone(site: Site) -> None:
    calls = [
        jobs.exit_python.bind(),
        jobs.exit_python_in_thread.bind(),
        jobs.exit_python_in_process.bind(),
        jobs.interrupt.bind(),
        jobs.cancel_itself.bind(),
    ]
    *bad, good = await site.enqueue([*calls, jobs.mark.bind()])
    worker = site.start("--burst")
    assert await worker.exited() == 0
    assert site.ledger.successes() == {good: 1}
    assert {id: letter.reason for id, letter in (await site.dead()).items()} == dict.fromkeys(bad, "attempts")


class Moody(JsonSerializer):
    """A serializer of the user's own, which fails at one word."""

    content_type = "application/x-moody"

    def dumps(self, value: object) -> bytes:
        if "unwritable" in str(value):
            raise ZeroDivisionError("a bug in dumps")
        return super().dumps(value)

    def loads(self, data: bytes) -> object:
        if b"unreadable" in data:
            raise ZeroDivisionError("a bug in loads")
        return super().loads(data)


async def test_a_serializer_that_raises_hurts_only_its_own_task(site: Site) -> None:
    words = ["good", "unreadable", "also good"]
    bodies = [
        msgpack.packb([1, jobs.mark.name, Moody.content_type, b'[["%s"],{}]' % word.encode(), {}, {}]) for word in words
    ]
    _, bad, _ = await put(site, *bodies)
    await site.burst(serializer=Moody())
    assert [entry.said for entry in site.ledger.starts()] == ["good", "also good"]
    assert (await site.dead())[
        bad
    ].error == "UndecodableBody: the arguments cannot be read: ZeroDivisionError: a bug in loads"


async def test_a_traceback_that_no_database_takes_settles_with_its_neighbours(site: Site) -> None:
    bad, *good = await site.enqueue([jobs.fail_unspeakably.bind(), *(jobs.mark.bind() for _ in range(99))])
    await site.burst(concurrency=100)
    assert site.ledger.successes() == dict.fromkeys(good, 1)
    letters = await site.dead()
    assert letters.keys() == {bad}
    assert letters[bad].error == r"ValueError: NUL \0, lone surrogates \ud800 and \udfff"
    assert "fail_unspeakably" in letters[bad].detail


async def test_one_oversized_message_among_a_hundred_reaches_only_its_caller(site: Site) -> None:
    too_long = "x" * (site.client.driver.limits.body + 1)
    said = ["good"] * 50 + [too_long] + ["good"] * 49
    results = await asyncio.gather(*map(jobs.mark.enqueue, said), return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, BaseException)] == [50]
    assert isinstance(results[50], BodyTooLarge)
    assert (await site.stats()).ready == 99

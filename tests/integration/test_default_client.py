"""Scripts as users write them: enqueue without a word about clients, and exit. Nothing is lost, nothing is said."""

from __future__ import annotations

import asyncio

import pytest

from tests.servers.fixtures import DRIVERS

from .workers import Site, sqlite_only

HEAD = "import asyncio, os, sys, threading, warnings\nfrom tests.integration.jobs import mark\n"

ENQUEUE = HEAD + "asyncio.run(mark.enqueue('one'))"

TWO_LOOPS = HEAD + "asyncio.run(mark.enqueue('one'))\nasyncio.run(mark.enqueue('two'))"

MANY = (
    HEAD
    + """
async def main():
    await asyncio.gather(*(mark.enqueue(str(n)) for n in range(100)))

asyncio.run(main())
"""
)

SYNC = HEAD + "mark.enqueue_sync('one')\nmark.enqueue_sync('two')"

SYNC_THEN_LOOP = HEAD + "mark.enqueue_sync('one')\nasyncio.run(mark.enqueue('two'))\nmark.enqueue_sync('three')"

THREADS = (
    HEAD
    + """
threads = [threading.Thread(target=mark.enqueue_sync, args=(str(n),)) for n in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
)

DAEMON = (
    HEAD
    + """
stored = threading.Event()

def enqueue():
    mark.enqueue_sync("one")
    stored.set()
    threading.Event().wait()

threading.Thread(target=enqueue, daemon=True).start()
stored.wait()
"""
)

THREAD_LOOPS = (
    HEAD
    + """
threads = [threading.Thread(target=lambda: asyncio.run(mark.enqueue("one"))) for _ in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
)

FORK = (
    HEAD
    + """
mark.enqueue_sync("before")
warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)  # from Python 3.12 on: we have a thread
child = os.fork()
mark.enqueue_sync("after, in the child" if child == 0 else "after, in the parent")
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
"""
)

FORK_BEFORE_LOOPS = (
    HEAD
    + """
asyncio.run(mark.enqueue("before"))
child = os.fork()
asyncio.run(mark.enqueue("after, in the child" if child == 0 else "after, in the parent"))
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
"""
)

TO_THREAD = (
    HEAD
    + """
async def main():
    await asyncio.to_thread(mark.enqueue_sync, "one")
    await mark.enqueue("two")

asyncio.run(main())
"""
)

AFTER_AN_ERROR = (
    HEAD
    + """
async def main():
    await mark.enqueue("one")
    raise KeyError("the script's own")

try:
    asyncio.run(main())
except KeyError:
    asyncio.run(mark.enqueue("two"))
"""
)

ABANDONED_CALLS = (
    HEAD
    + """
async def main():
    await mark.enqueue("one")
    tasks = [asyncio.create_task(mark.enqueue(str(n))) for n in range(50)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

asyncio.run(main())
"""
)

SCRIPTS = {
    "one loop": (ENQUEUE, 1),
    "two loops, one after the other": (TWO_LOOPS, 2),
    "a hundred at once": (MANY, 100),
    "no loop": (SYNC, 2),
    "no loop, then a loop, then none": (SYNC_THEN_LOOP, 3),
    "threads": (THREADS, 20),
    "a daemon thread that is still there at the end": (DAEMON, 1),
    "a loop in each thread": (THREAD_LOOPS, 5),
    "a fork between two": (FORK, 3),
    "a fork between two loops": (FORK_BEFORE_LOOPS, 3),
    "a thread beside a loop": (TO_THREAD, 2),
    "a loop that ended with an error": (AFTER_AN_ERROR, 2),
}


TELLING = (
    "two loops, one after the other",
    "a hundred at once",
    "no loop, then a loop, then none",
    "threads",
    "a loop in each thread",
    "a fork between two",
    "a fork between two loops",
)
"""What a client library may take amiss; the others are much the same for all."""


@pytest.mark.parametrize(
    ("queue_url", "name"),
    [(driver, name) for driver in DRIVERS for name in (SCRIPTS if driver in ("sqlite", "redis") else TELLING)],
    indirect=["queue_url"],
)
async def test_a_script_enqueues_and_exits_cleanly(name: str, site: Site) -> None:
    text, count = SCRIPTS[name]
    assert await site.script(text) == (0, "", "")
    await site.burst()
    assert len(site.ledger.successes()) == count


async def test_calls_that_a_script_does_not_wait_for_leave_no_traceback(site: Site) -> None:
    assert await site.script(ABANDONED_CALLS) == (0, "", "")
    assert (await site.stats()).ready in range(1, 52)


@pytest.mark.slow
async def test_scripts_that_enqueue_and_exit_say_nothing_however_many(site: Site) -> None:
    number = 30 if site.url.startswith("sqlite") else 6
    turns = asyncio.Semaphore(3)

    async def run() -> tuple[int, str, str]:
        async with turns:
            return await site.script(ENQUEUE)

    assert await asyncio.gather(*(run() for _ in range(number))) == [(0, "", "")] * number
    assert (await site.stats()).ready == number


@sqlite_only
async def test_enqueue_sync_inside_an_event_loop_goes_through_the_background_one(site: Site) -> None:
    text = HEAD + "async def main(): mark.enqueue_sync('one')\nasyncio.run(main())"
    assert await site.script(text) == (0, "", "")
    assert (await site.stats()).ready == 1


@sqlite_only
async def test_a_script_whose_backend_cannot_be_used_hears_why(site: Site) -> None:
    site.environment["ASYNCDQ_URL"] = "sqlite:///nowhere/at/all.db"
    for text in (ENQUEUE, SYNC):
        code, _, errors = await site.script(text)
        assert (code, errors.splitlines()[-1].split(":")[0]) == (1, "asyncdq.errors.ConfigurationError")
        assert "create the directory /nowhere/at" in errors

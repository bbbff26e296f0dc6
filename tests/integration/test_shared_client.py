"""What a thread enqueues goes where all else of its process goes, not silently to another queue."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncdq import Client, Task, context, task
from asyncdq.errors import TaskError

from .workers import Site, sqlite_only

pytestmark = sqlite_only


@task
def child() -> None: ...


def in_threads_of_its_own() -> None:
    with ThreadPoolExecutor(2) as threads:
        for stored in [threads.submit(child.enqueue_sync) for _ in range(2)]:
            stored.result()
    thread = threading.Thread(target=lambda: asyncio.run(child.enqueue()))
    thread.start()
    thread.join()


@task
def fan_out() -> None:
    in_threads_of_its_own()


@task(process=True)
def fan_out_in_process() -> None:
    in_threads_of_its_own()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The queue of the settings, which nobody here means."""
    path = tmp_path / "settings.db"
    monkeypatch.setenv("ASYNCDQ_URL", f"sqlite://{path}")
    return path


@pytest.fixture
def untouched(elsewhere: Path) -> Generator[None]:
    """Nothing goes there."""
    yield
    assert not elsewhere.exists()


@pytest.mark.parametrize("fan", [fan_out, fan_out_in_process], ids=["thread", "process"])
async def test_threads_that_a_task_starts_enqueue_through_its_worker(
    fan: Task[[], None, None], site: Site, untouched: None
) -> None:
    await site.client.enqueue(fan)
    await site.client.close()  # only the worker has one now
    await site.burst(max_tasks=1, process_pool_size=1)
    await site.client.open()
    assert (await site.stats()).ready == 3


async def test_a_thread_enqueues_through_the_client_that_was_opened_last(site: Site, untouched: None) -> None:
    await asyncio.get_running_loop().run_in_executor(None, in_threads_of_its_own)
    assert (await site.stats()).ready == 3
    async with Client.from_url(f"sqlite://{site.folder}/other.db") as last:
        await asyncio.get_running_loop().run_in_executor(None, in_threads_of_its_own)
        assert (await last.driver.stats("default")).ready == 3
    await asyncio.get_running_loop().run_in_executor(None, in_threads_of_its_own)
    assert (await site.stats()).ready == 6


async def test_where_nothing_is_open_the_settings_say_where(site: Site, elsewhere: Path) -> None:
    await site.client.close()
    await child.enqueue()  # the default client of this loop is for this loop
    await asyncio.get_running_loop().run_in_executor(None, in_threads_of_its_own)
    async with Client.from_url(f"sqlite://{elsewhere}") as client:
        assert (await client.driver.stats("default")).ready == 4


async def test_a_loop_that_waits_for_its_own_thread_is_told_so_and_nothing_is_stored(site: Site) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(TaskError, match="has been blocked for 10 s"):
        threads.submit(child.enqueue_sync).result()  # blocks the event loop of the client
    await asyncio.sleep(0)  # what the thread had asked for would begin now
    assert (await site.stats()).ready == 0


async def test_a_loop_that_stops_answering_in_the_middle_of_a_call_is_not_waited_for_without_end(site: Site) -> None:
    """Where the call has begun, nobody knows whether it was stored."""
    with sqlite3.connect(site.url.removeprefix("sqlite://"), isolation_level=None) as other:
        other.execute("begin immediate")  # so that the call has begun, and does not end
        with ThreadPoolExecutor(1) as threads:
            calling = threads.submit(child.enqueue_sync)
            await asyncio.sleep(1)  # nothing tells that the call has begun: it waits for the lock of the file
            with pytest.raises(TaskError, match="it is not known whether the call was stored"):
                calling.result()  # blocks the event loop of the client
        other.execute("rollback")


async def test_a_thread_goes_through_the_client_of_the_application_not_through_that_of_its_worker(
    site: Site, untouched: None
) -> None:
    async with site.working():
        await site.until(lambda: len(context.of_workers) == 1)
        async with Client.from_url(site.url, default_queue="web") as web:
            await asyncio.get_running_loop().run_in_executor(None, child.enqueue_sync)
            assert (await web.driver.stats("web")).ready == 1
    assert context.of_workers == []

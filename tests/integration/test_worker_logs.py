"""What a worker says: one line per start, success, retry and burial, and who blocked it."""

from __future__ import annotations

import logging
import re

import pytest

from . import jobs
from .workers import Site, sqlite_only

pytestmark = sqlite_only

EVENTS = ["task_started", "task_retrying", "task_started", "task_completed"]


async def test_each_event_of_a_task_is_one_line_of_text(site: Site) -> None:
    good, bad = await site.enqueue([jobs.fail_until.bind(2), jobs.fail.bind()])
    worker = site.start("--burst", "-v", "debug")
    assert await worker.exited() == 0
    name = jobs.fail_until.name
    starts = [f"{event} {name} {good}" for event in EVENTS]
    for line, start in zip(worker.log_lines(good), starts, strict=True):
        assert start in line
    first, retry, second, end = worker.log_lines(good)
    assert ("attempt 1 of 3" in first, "attempt 2 of 3" in second) == (True, True)
    assert "WARNING" in retry
    assert "again in 0 s: ValueError: not yet" in retry
    assert re.search(r" attempt 2 of 3 in \d+\.\d{3} s$", end)
    burial = worker.log_lines(bad)[-1]
    assert "ERROR" in burial
    assert "buried (attempts): ValueError: as it was told" in burial


async def test_what_a_process_task_logs_is_a_line_like_the_others(site: Site) -> None:
    await site.enqueue([jobs.log_in_process.bind("from a process")])
    worker = site.start("--burst", "--log-format", "json", "--process-pool-size", "1")
    assert await worker.exited() == 0
    (line,) = [line for line in worker.events() if line["message"] == "from a process"]
    assert (line["level"], line["logger"]) == ("info", "jobs")


async def test_each_event_of_a_task_is_one_object_of_json(site: Site) -> None:
    good, bad = await site.enqueue([jobs.fail_until.bind(2), jobs.fail.bind()])
    worker = site.start("--burst", "-v", "debug", "--log-format", "json")
    assert await worker.exited() == 0
    lines = [line for line in worker.events() if line.get("task_id") == good]
    assert [line["event"] for line in lines] == EVENTS
    assert [line["attempt"] for line in lines] == [1, 1, 2, 2]
    assert {(line["task"], line["queue"], line["logger"]) for line in lines} == {
        (jobs.fail_until.name, "default", "asyncdq.worker")
    }
    assert (lines[1]["delay"], lines[1]["counted"], lines[1]["error"]) == (0, True, "ValueError: not yet")
    assert lines[3]["duration"] >= 0
    burial = next(line for line in worker.events() if line.get("event") == "task_failed")
    assert (burial["task_id"], burial["reason"], burial["level"]) == (bad, "attempts", "error")


async def test_a_worker_says_regularly_that_it_lives(site: Site) -> None:
    await site.enqueue([jobs.hold.bind(site.gate)])
    worker = site.start("--heartbeat-interval", "0.1", "--log-format", "json")
    await site.until(lambda: worker.log.count("worker_heartbeat") >= 3)
    site.open_gate()
    beats = [line for line in worker.events() if line.get("event") == "worker_heartbeat"]
    assert (beats[-1]["running"], beats[-1]["stuck"]) == (1, 0)


async def test_the_task_that_blocks_the_event_loop_is_named(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    (id,) = await site.enqueue([jobs.block.bind(0.8)])
    with caplog.at_level(logging.ERROR):
        await site.burst(visibility_timeout=0.9)
    (record,) = [record for record in caplog.records if "event loop" in record.message]
    assert f"{jobs.block.name} {id} has blocked the event loop for more than 0.3 s" in record.message
    assert "time.sleep(seconds)" in record.message
    assert site.ledger.successes() == {id: 1}


async def test_thousands_of_successes_in_a_second_are_counted_and_not_listed(site: Site) -> None:
    await site.enqueue(jobs.mark.bind() for _ in range(3_000))
    worker = site.start("--burst", "--log-format", "json", "-c", "100")
    assert await worker.exited() == 0
    listed = [line for line in worker.events() if line.get("event") == "task_completed"]
    counted = [line["count"] for line in worker.events() if line.get("event") == "tasks_completed"]
    assert len(listed) + sum(counted) == 3_000
    assert len(listed) >= 1_000


async def test_at_level_debug_every_success_has_its_line(site: Site) -> None:
    await site.enqueue(jobs.mark.bind() for _ in range(1_500))
    worker = site.start("--burst", "--log-format", "json", "-c", "100", "-v", "debug")
    assert await worker.exited() == 0
    assert len([line for line in worker.events() if line.get("event") == "task_completed"]) == 1_500

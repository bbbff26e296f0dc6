"""What a worker says: one line per start, success, retry and burial, and who blocked it."""

from __future__ import annotations

import json
import logging
import re
import signal
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from asyncdq import Call, Task, Worker
from asyncdq.cli.logs import JsonFormatter
from asyncdq.drivers.sqlite import SQLiteDriver
from asyncdq.message import Delivery, Outcome

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


@pytest.mark.parametrize("job", [jobs.log_in_loop, jobs.log_in_thread, jobs.log_in_process], ids=lambda job: job.name)
async def test_what_a_task_logs_says_in_json_which_task_it_was(site: Site, job: Task[[str], Any, Any]) -> None:
    ids = await site.enqueue(job.bind(str(number)) for number in range(10))
    worker = site.start("--burst", "--log-format", "json", "--process-pool-size", "2")
    assert await worker.exited() == 0
    said = {line["message"]: line for line in worker.events() if line["logger"] == "jobs"}
    assert [said[str(number)]["task_id"] for number in range(10)] == ids
    assert {line["task"] for line in said.values()} == {job.name}
    assert [line for line in worker.events() if "task_id" in line and "event" not in line] == list(said.values())


class Talkative(SQLiteDriver):
    """Says so when it settles, as the client library of a server may."""

    async def settle(self, outcomes: Sequence[tuple[Delivery, Outcome]]) -> list[Delivery]:
        logging.getLogger("library").info("settles")
        return await super().settle(outcomes)


async def test_what_the_worker_makes_a_library_log_is_said_by_no_task(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())
    await site.enqueue([jobs.log_in_loop.bind("from the task")])
    with caplog.at_level(logging.INFO):
        await Worker(Talkative(site.folder / "queue.db"), burst=True).start(handle_signals=False)
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    assert ["task" in line for line in lines if line["message"] in ("from the task", "settles")] == [True, False]


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


@pytest.mark.parametrize(
    "call",
    [jobs.fail_until.bind(2), jobs.fail_once_in_thread.bind(), jobs.fail_once_in_process.bind()],
    ids=["loop", "thread", "process"],
)
async def test_what_is_retried_has_its_traceback_though_it_ends_well(site: Site, call: Call[Any]) -> None:
    await site.enqueue([call])
    worker = site.start("--burst", "--log-format", "json", "--process-pool-size", "1")
    assert await worker.exited() == 0
    (retry,) = [line for line in worker.events() if "exception" in line]
    assert retry["event"] == "task_retrying"
    first, *frames, last = retry["exception"].splitlines()
    assert (first, last) == ("Traceback (most recent call last):", "ValueError: not yet")
    assert [line for line in frames if "File" in line] == [frames[0]]
    assert "jobs.py" in frames[0]
    assert "\n" not in retry["message"]


async def test_a_burial_has_its_traceback_in_the_text_as_in_the_dead_letter(site: Site) -> None:
    (id,) = await site.enqueue([jobs.fail.bind()])
    worker = site.start("--burst")
    assert await worker.exited() == 0
    (burial,) = worker.log_lines("task_failed")
    _, _, after = worker.log.partition(burial + "\n")
    detail = (await site.dead())[id].detail
    assert after.startswith("".join(f"  {line}\n" for line in detail.splitlines()))


async def test_logging_that_a_program_has_set_up_shows_the_traceback(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.enqueue([jobs.fail_until.bind(2)])
    with caplog.at_level(logging.INFO):
        await site.burst()
    (retry,) = [record for record in caplog.records if vars(record).get("event") == "task_retrying"]
    assert "Traceback (most recent call last):\n" in caplog.text
    assert (retry.exc_info, retry.filename, retry.funcName) == (None, "journal.py", "_say")


async def test_what_a_task_raises_on_purpose_has_no_traceback(site: Site) -> None:
    await site.enqueue([jobs.retry_until.bind(2), jobs.reject.bind(), jobs.exit_at_once_in_process.bind()])
    worker = site.start("--burst", "--log-format", "json", "--process-pool-size", "1")
    assert await worker.exited() == 0
    assert [line for line in worker.events() if "exception" in line] == []


async def test_an_error_forges_no_line_of_the_log(site: Site) -> None:
    await site.enqueue([jobs.fail_with.bind("no\n2030-01-01 00:00:00 INFO    task_completed shop.refund\x1b[2J")])
    worker = site.start("--burst")
    assert await worker.exited() == 0
    assert len(worker.log_lines("2030-01-01")) == 2
    assert [line for line in worker.log_lines() if line.startswith("2030") or "\x1b" in line] == []


async def test_of_many_failures_in_a_second_all_have_a_line_and_some_a_traceback(site: Site) -> None:
    await site.enqueue(jobs.fail.bind() for _ in range(1_000))
    worker = site.start("--burst", "--log-format", "json", "-c", "100")
    assert await worker.exited() == 0
    burials = [line for line in worker.events() if line.get("event") == "task_failed"]
    first, last = (datetime.fromisoformat(burials[at]["time"]) for at in (0, -1))
    assert len(burials) == 1_000
    assert 20 <= len([line for line in burials if "exception" in line]) <= 20 * ((last - first).total_seconds() + 1)


async def test_a_worker_says_regularly_that_it_lives(site: Site) -> None:
    await site.enqueue([jobs.hold.bind(site.gate)])
    worker = site.start("--heartbeat-interval", "0.1", "--log-format", "json")
    await site.until(lambda: worker.log.count("worker_heartbeat") >= 3)
    site.open_gate()
    beats = [line for line in worker.events() if line.get("event") == "worker_heartbeat"]
    assert (beats[-1]["running"], beats[-1]["stuck"]) == (1, 0)


async def test_the_last_line_tells_a_snooze_from_an_interruption(site: Site) -> None:
    await site.enqueue([jobs.snooze_until.bind(site.gate)])
    worker = site.start("--max-tasks", "2")
    assert await worker.exited() == 0
    assert worker.log_lines()[-1].endswith("has ended: 1 done, 1 snoozed")
    await site.enqueue([jobs.hold.bind(str(site.folder / "never"))])
    worker = site.start("--grace-period", "0")
    await site.started(3)
    worker.signal(signal.SIGTERM)
    assert await worker.exited() == 0
    assert worker.log_lines()[-1].endswith("has ended: 1 interrupted")


async def test_the_last_line_says_in_words_what_was_given_back(site: Site) -> None:
    await site.enqueue([jobs.hold.bind(site.gate)] * 2)
    worker = site.start("-c", "1", "--claim-ahead", "1")
    await site.started(1)
    worker.signal(signal.SIGTERM)
    await worker.says("SIGTERM")
    site.open_gate()
    assert await worker.exited() == 0
    assert re.search(r"has ended: 1 done, \d+ given back$", worker.log_lines()[-1])


async def test_who_takes_over_from_a_dead_worker_says_so(site: Site) -> None:
    (id,) = await site.enqueue([jobs.hold.bind(site.gate)])
    for number in (1, 2):
        killed = site.start("--task-defaults-visibility-timeout", "1")
        await site.started(number)
        killed.kill()
    worker = site.start("--log-format", "json", "--max-tasks", "1")
    await site.started(3)
    site.open_gate()
    assert await worker.exited() == 0
    (line,) = [line for line in worker.events() if line.get("event") == "task_redelivered"]
    assert (line["task_id"], line["lost"], line["level"]) == (id, 2, "warning")
    assert "it was lost 2 times" in line["message"]


async def test_one_lost_worker_is_not_several_in_a_row(site: Site) -> None:
    (id,) = await site.enqueue([jobs.hold.using(max_attempts=1).bind(site.gate)])
    killed = site.start("--task-defaults-visibility-timeout", "1")
    await site.started(1)
    killed.kill()
    worker = site.start()
    await worker.says(
        f"task_failed {jobs.hold.name} {id} buried (lost): the worker that held it died or lost its lease"
    )


@pytest.mark.parametrize("own", [None, 0.9])
async def test_the_task_that_blocks_the_event_loop_is_named(
    site: Site, caplog: pytest.LogCaptureFixture, own: float | None
) -> None:
    (id,) = await site.enqueue([jobs.block.using(visibility_timeout=own).bind(0.8)])
    with caplog.at_level(logging.ERROR):
        await site.burst(visibility_timeout=0.9 if own is None else 60)
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

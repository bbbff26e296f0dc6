"""How a single task ends, in a coroutine, a thread and a process: timeouts, signals, and what it knows of itself."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

import pytest

from asyncdq import Call, RetryPolicy, Task, current_task, task
from asyncdq.drivers.base import DeadLetters

from . import jobs
from .pools import gone
from .workers import EMPTY, Site, counts, sqlite_only

AT_ONCE = RetryPolicy(max_attempts=2, delay=0)

in_every_kind = pytest.mark.parametrize(
    "task",
    [jobs.describe, jobs.describe_in_thread, jobs.describe_in_process],
    ids=lambda task: task.function.__name__,
)

_word: ContextVar[str] = ContextVar("word", default="nothing")
_found: list[str] = []


@task
async def leave(word: str) -> None:
    _found.append(_word.get())
    _word.set(word)


@sqlite_only
async def test_what_a_task_leaves_in_its_context_is_gone_with_it(site: Site) -> None:
    await site.enqueue(leave.bind(word) for word in ("one", "two", "three"))
    await site.burst(concurrency=1)
    assert _found == ["nothing"] * 3


class _Odd(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(f"nobody asks me for {name}")


class Unreadable(metaclass=_Odd):
    """An annotation of which not even the type can be found out."""


async def unplanned(what: Any) -> None: ...


unplanned.__annotations__["what"] = Unreadable  # as in a module whose annotations are no strings


@sqlite_only
async def test_a_task_of_which_the_worker_cannot_tell_how_to_run_it_fails_alone(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = await site.enqueue([task(max_attempts=2)(unplanned).bind(1), jobs.mark.bind()])
    await site.burst(retry=AT_ONCE)
    assert site.ledger.successes() == {good: 1}
    letter = (await site.dead())[bad]
    assert (letter.reason, letter.attempts) == ("attempts", 2)
    assert letter.error.startswith("RuntimeError: nobody asks me for ")
    assert "__getattribute__" in caplog.text  # the traceback, as of any failed attempt


@sqlite_only
async def test_what_is_worth_a_retry_to_tasks_does_not_bury_a_task_that_is_unknown_yet(site: Site) -> None:
    (id,) = await site.enqueue([Call("no.such.task", (), {})])
    await site.burst(retry=RetryPolicy(max_attempts=2, delay=0, retry_on=(ConnectionError,)))
    letter = (await site.dead())[id]
    assert (letter.reason, letter.attempts) == ("unknown", 2)


@sqlite_only
async def test_a_coroutine_past_its_timeout_is_cancelled_and_tried_again(site: Site) -> None:
    (id,) = await site.enqueue([jobs.hold.using(timeout=0.1).bind(site.gate)])
    await site.burst(retry=AT_ONCE)
    assert [(entry.attempt, entry.said) for entry in site.ledger.ends(id)] == [
        (1, "CancelledError"),
        (2, "CancelledError"),
    ]
    letter = (await site.dead())[id]
    assert (letter.reason, letter.attempts) == ("attempts", 2)
    assert letter.error == "TaskTimeout: it ran longer than its timeout of 0.1 s"


@sqlite_only
async def test_a_process_past_its_timeout_is_killed_before_the_next_attempt_starts_in_a_fresh_one(site: Site) -> None:
    (id,) = await site.enqueue([jobs.hold_in_process.using(timeout=0.3).bind(site.gate)])
    async with site.working(retry=AT_ONCE, process_pool_size=1):
        first = await site.until(lambda: site.ledger.starts(id))
        second = await site.until(lambda: site.ledger.starts(id)[1:])
        assert gone(first[0].pid)
        assert second[0].pid != first[0].pid
        await site.wait_for_stats(dead=1)
    assert "TaskTimeout" in (await site.dead())[id].error
    assert site.ledger.ends(id) == []


@sqlite_only
async def test_a_thread_past_its_timeout_is_called_stuck_and_holds_its_slot_until_it_ends(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    held, waiting = await site.enqueue([jobs.hold_in_thread.using(timeout=0.05).bind(site.gate), jobs.mark.bind()])
    with caplog.at_level(logging.WARNING):
        async with site.working(concurrency=1, visibility_timeout=0.5):
            await site.until(lambda: "stuck" in caplog.text)
            assert f"hold_in_thread {held} is stuck: its timeout of 0.05 s has passed" in caplog.text
            assert site.ledger.starts(waiting) == []
            site.open_gate()
            await site.until(lambda: site.ledger.ends(waiting))
            await site.wait_for_stats(leased=0)
    assert [entry.said for entry in site.ledger.ends(held)] == ["returned"]
    assert counts(await site.stats(), **EMPTY)


@sqlite_only
@in_every_kind
async def test_a_task_knows_who_it_is(task: Task[[], object, None], site: Site) -> None:
    await site.enqueue([task.using(queue="other").bind()])
    await site.burst(queues=["other"])
    (start,) = site.ledger.starts()
    assert start.said == f"{task.function.__name__} other 1/7"


def test_outside_of_a_task_there_is_no_current_task() -> None:
    with pytest.raises(LookupError, match="no task is running here"):
        current_task()


async def test_a_snoozed_task_comes_again_and_it_does_not_count(site: Site) -> None:
    (id,) = await site.enqueue([jobs.snooze_until.bind(site.gate)])
    async with site.working():
        await site.until(lambda: site.ledger.successes() == {id: 1})
    first, second = site.ledger.starts(id)
    assert (first.attempt, second.attempt) == (1, 1)
    assert second.at - first.at >= 0.05


async def test_a_task_that_asks_for_a_retry_says_when_itself(site: Site) -> None:
    (id,) = await site.enqueue([jobs.retry_until.bind(3)])
    await site.burst(retry=RetryPolicy(delay=3600))
    assert [entry.attempt for entry in site.ledger.starts(id)] == [1, 2, 3]
    assert site.ledger.successes() == {id: 1}


async def test_a_retry_is_never_early(site: Site) -> None:
    (id,) = await site.enqueue([jobs.fail_until.using(retry_delay=0.2).bind(2)])
    async with site.working():
        await site.until(lambda: site.ledger.successes() == {id: 1})
    first, second = site.ledger.starts(id)
    assert second.at - site.ledger.ends(id)[0].at >= 0.2
    assert second.attempt == first.attempt + 1


@sqlite_only
@pytest.mark.parametrize(
    ("task", "reason", "error"),
    [
        (jobs.reject, "rejected", "Reject: never"),
        (jobs.give_up, "rejected", "KeyError: 'given up on'"),
        (jobs.fail_otherwise, "not_retried", "ValueError: not one of retry_on"),
        (jobs.fail, "attempts", "ValueError: as it was told"),
    ],
    ids=lambda value: value.function.__name__ if isinstance(value, Task) else "",
)
async def test_a_task_that_is_not_to_be_retried_is_buried_after_one_attempt(
    task: Task[[], object, None], reason: str, error: str, site: Site
) -> None:
    (id,) = await site.enqueue([task.bind()])
    await site.burst(retry=RetryPolicy(delay=0))
    letter = (await site.dead())[id]
    assert (letter.reason, letter.error, letter.attempts) == (reason, error, 1)
    assert len(site.ledger.starts()) == 1


async def test_a_dead_letter_that_is_requeued_has_all_its_attempts_again(site: Site) -> None:
    (id,) = await site.enqueue([jobs.fail_until.using(max_attempts=2).bind(99)])
    await site.burst()
    driver = site.client.driver
    assert isinstance(driver, DeadLetters)
    assert await driver.requeue("default", [id]) == [id]
    await site.burst()
    assert [entry.attempt for entry in site.ledger.starts(id)] == [1, 2, 1, 2]


@sqlite_only
async def test_what_a_task_prints_in_its_process_reaches_the_output_of_the_worker(site: Site) -> None:
    await site.enqueue([jobs.speak.bind()])
    worker = site.start("--burst")
    assert await worker.exited() == 0
    assert worker.output == "from the process\n"

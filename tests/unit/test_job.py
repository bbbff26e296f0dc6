"""What crosses the pipe to a process of the pool arrives as it was sent."""

from __future__ import annotations

import importlib
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdq.context import CurrentTask
from asyncdq.message import Again, Dead, Done
from asyncdq.retry import RetryPolicy
from asyncdq.worker.job import Job, Verdict

# As envelopes have it, a float of seconds: until 2242 it has microseconds.
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2242, 1, 1), timezones=st.just(UTC))


CURRENT = CurrentTask("id-1", "jobs.fetch", "high", 2, 5, None)


@given(enqueued_at=st.none() | MOMENTS)
def test_a_job_arrives_as_it_was_sent(enqueued_at: datetime | None) -> None:
    current = replace(CURRENT, enqueued_at=enqueued_at)
    policy = RetryPolicy(max_attempts=5, retry_on=(OSError,), give_up_on=(FileNotFoundError,))
    job = Job("jobs", "fetch", (1, [timedelta(3)]), {"key": b"\0"}, current, policy, 0.25)
    assert pickle.loads(pickle.dumps(job)) == job


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Done(), duration=0.125),
        Verdict(Again(2.5, counted=True), "OSError: away", 1.5, "Traceback ..."),
        Verdict(Dead("rejected", "no", "no such user"), "Reject: no such user", 0.0),
    ],
)
def test_a_verdict_arrives_as_it_was_sent(verdict: Verdict) -> None:
    assert Verdict.of(verdict.frame()) == verdict


def test_an_error_class_that_is_loaded_anew_is_the_new_one_in_the_policy_of_the_next_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "away_errors.py").write_text("class Away(Exception): ...\n")
    for _ in range(2):
        module = importlib.import_module("away_errors")
        importlib.reload(module)
        job = Job("jobs", "fetch", (), {}, CURRENT, RetryPolicy(retry_on=(module.Away,)), 0.0)
        arrived: Job = pickle.loads(pickle.dumps(job))
        assert arrived.policy.retry_on == (module.Away,)


class Odd(type):
    """Its classes are all equal, and have no hash."""

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, Odd)


class First(Exception, metaclass=Odd): ...


class Second(Exception, metaclass=Odd): ...


def test_error_classes_that_compare_as_they_like_are_not_taken_for_each_other() -> None:
    for kind in (First, Second):
        job = Job("jobs", "fetch", (), {}, CURRENT, RetryPolicy(retry_on=(kind,)), 0.0)
        arrived: Job = pickle.loads(pickle.dumps(job))
        assert arrived.policy.retry_on[0] is kind

"""What crosses the pipe to a process of the pool arrives as it was sent."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdq.context import CurrentTask
from asyncdq.message import Again, Dead, Done
from asyncdq.retry import RetryPolicy
from asyncdq.worker.job import Job, Verdict

# As envelopes have it, a float of seconds: until 2242 it has microseconds.
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2242, 1, 1), timezones=st.just(UTC))


@given(enqueued_at=st.none() | MOMENTS)
def test_a_job_arrives_as_it_was_sent(enqueued_at: datetime | None) -> None:
    current = CurrentTask("id-1", "jobs.fetch", "high", 2, 5, enqueued_at)
    policy = RetryPolicy(max_attempts=5, retry_on=(OSError,), give_up_on=(FileNotFoundError,))
    job = Job("jobs", "fetch", (1, [timedelta(3)]), {"key": b"\0"}, current, policy, 0.25)
    assert pickle.loads(pickle.dumps(job)) == job


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Done(), duration=0.125),
        Verdict(Again(2.5, counted=True), "OSError: away", 1.5),
        Verdict(Dead("rejected", "no", "no such user"), "Reject: no such user", 0.0),
    ],
)
def test_a_verdict_arrives_as_it_was_sent(verdict: Verdict) -> None:
    assert Verdict.of(verdict.frame()) == verdict

import pytest

from asyncdq import RetryPolicy, task
from asyncdq.envelope import Envelope
from asyncdq.worker.plan import Planner


@task(name="test_plan.stubborn", max_attempts=10, retry_delay=5, timeout=100, visibility_timeout=7)
async def stubborn() -> None: ...


@task(name="test_plan.silent")
async def silent() -> None: ...


def envelope(name: str, **options: float) -> Envelope:
    return Envelope(name, "application/msgpack", b"", {"enqueued_at": 1.0, **options}, {})


def planner(hold: float | None = None, attempts_cap: int | None = None) -> Planner:
    return Planner(RetryPolicy(max_attempts=4, delay=60.0), 30.0, 60.0, hold, attempts_cap)


def test_a_task_that_says_nothing_is_run_by_the_workers_defaults() -> None:
    plan = planner().plan(envelope("test_plan.silent"))
    assert (plan.policy.max_attempts, plan.policy.delay, plan.timeout, plan.lease) == (4, 60.0, 30.0, 60.0)


def test_what_a_call_says_goes_before_its_task_and_that_before_the_worker() -> None:
    plan = planner().plan(envelope("test_plan.stubborn"))
    assert (plan.policy.max_attempts, plan.policy.delay, plan.timeout, plan.lease) == (10, 5, 100, 7)
    asked = planner().plan(envelope("test_plan.stubborn", max_attempts=2, retry_delay=1.0, visibility_timeout=3.0))
    assert (asked.policy.max_attempts, asked.policy.delay, asked.timeout, asked.lease) == (2, 1.0, 100, 3.0)


def test_a_cap_on_attempts_binds_the_worker_the_task_and_the_call() -> None:
    capped = planner(attempts_cap=3)
    plans = [
        capped.plan(envelope("test_plan.silent")),
        capped.plan(envelope("test_plan.stubborn")),
        capped.plan(envelope("test_plan.stubborn", max_attempts=9)),
    ]
    assert [plan.policy.max_attempts for plan in plans] == [3, 3, 3]
    assert capped.policy.max_attempts == 3
    assert capped.plan(envelope("test_plan.stubborn", max_attempts=2)).policy.max_attempts == 2


def test_calls_that_ask_for_the_same_have_one_plan_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    capping = planner(hold=50.0)
    plans = [capping.plan(envelope("test_plan.silent", timeout=seconds)) for seconds in (70, 70, 20)]
    assert [plan.timeout for plan in plans] == [50.0, 50.0, 20]
    assert plans[0] is plans[1]
    assert len(caplog.records) == 1


def test_no_task_may_run_longer_than_the_backend_holds_it() -> None:
    assert planner(hold=50.0).plan(envelope("test_plan.stubborn")).timeout == 50.0
    assert planner(hold=50.0).plan(envelope("test_plan.silent")).timeout == 30.0


def test_what_a_task_leaves_open_the_whole_policy_of_the_worker_decides() -> None:
    policy = RetryPolicy(max_delay=10, jitter=True, retry_on=(OSError,), give_up_on=(KeyError,))
    plan = Planner(policy, None, 60.0, None).plan(envelope("test_plan.silent"))
    assert plan.policy == policy

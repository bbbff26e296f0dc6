import math
import pickle
from datetime import timedelta
from typing import Any, cast

import pytest

from asyncdq import Reject, Retry, RetryPolicy, Snooze
from asyncdq.errors import ConfigurationError, ProcessDied, TaskTimeout
from asyncdq.message import Again, Dead, Done
from asyncdq.retry import DETAIL_LIMIT, bury, decide, describe, one_line

POLICY = RetryPolicy(max_attempts=3, delay=10.0)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_task_that_returns_is_done() -> None:
    assert decide(None, 1, POLICY) == Done()


def test_a_failure_is_retried_with_twice_the_delay_each_time() -> None:
    policy = RetryPolicy(max_attempts=9, delay=10.0, max_delay=50.0)
    delays = [policy.delay_after(attempt) for attempt in (1, 2, 3, 4, 5, 5000)]
    assert delays == [10.0, 20.0, 40.0, 50.0, 50.0, 50.0]


def test_what_nobody_caps_grows_up_to_an_hour_and_a_delay_that_is_longer_stays() -> None:
    assert [RetryPolicy(delay=1800.0).delay_after(attempt) for attempt in (1, 2, 3)] == [1800.0, 3600.0, 3600.0]
    assert [RetryPolicy(delay=7200.0).delay_after(attempt) for attempt in (1, 2)] == [7200.0, 7200.0]


def test_a_fixed_delay_stays_and_knows_no_cap() -> None:
    policy = RetryPolicy(strategy="fixed", delay=7200.0, max_delay=3600.0)
    assert {policy.delay_after(attempt) for attempt in (1, 2, 30)} == {7200.0}


def test_jitter_stays_between_the_half_and_the_whole() -> None:
    policy = RetryPolicy(delay=10.0, jitter=True)
    assert (policy.delay_after(1, 0.0), policy.delay_after(1, 1.0)) == (5.0, 10.0)


def test_the_last_attempt_is_buried_with_its_traceback() -> None:
    outcome = decide(raised(ValueError("no such user")), 3, POLICY)
    assert isinstance(outcome, Dead)
    assert (outcome.reason, outcome.error) == ("attempts", "ValueError: no such user")
    assert "Traceback" in outcome.detail
    assert __file__ in outcome.detail


def test_retry_with_a_delay_overrules_the_policy_but_not_its_limit() -> None:
    assert decide(Retry(delay=0.5), 1, POLICY) == Again(0.5, counted=True)
    assert decide(Retry(), 1, POLICY) == Again(10.0, counted=True)
    assert isinstance(decide(Retry(delay=0.5), 3, POLICY), Dead)


def test_a_snooze_never_counts() -> None:
    assert decide(Snooze(60), 3, POLICY) == Again(60, counted=False)


def test_a_rejected_task_is_buried_at_once() -> None:
    outcome = decide(Reject("this account is closed"), 1, POLICY)
    assert outcome == Dead("rejected", "Reject: this account is closed", "Reject: this account is closed")


def test_give_up_on_outranks_retry_on() -> None:
    policy = RetryPolicy(retry_on=(OSError,), give_up_on=(FileNotFoundError,))
    assert isinstance(decide(OSError(), 1, policy), Again)
    outcome = decide(FileNotFoundError("gone"), 1, policy)
    assert isinstance(outcome, Dead)
    assert outcome.reason == "rejected"


def test_an_error_that_retry_on_does_not_name_is_buried_at_once() -> None:
    outcome = decide(KeyError("x"), 1, RetryPolicy(retry_on=(OSError,)))
    assert isinstance(outcome, Dead)
    assert outcome.reason == "not_retried"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_what_would_end_a_program_is_a_failed_attempt_of_a_task(error: BaseException) -> None:
    assert isinstance(decide(error, 1, POLICY), Again)


def test_the_death_of_a_process_is_retried_whatever_retry_on_says() -> None:
    policy = RetryPolicy(retry_on=(KeyError,))
    assert isinstance(decide(ProcessDied("killed by SIGKILL"), 1, policy), Again)
    assert isinstance(decide(TaskTimeout("too long"), 1, policy), Dead)


def test_an_error_text_holds_nothing_that_a_database_refuses() -> None:
    outcome = bury("attempts", raised(ValueError("a\0b\ud800c")))
    for text in (outcome.error, outcome.detail):
        text.encode("utf-8")
        assert "\0" not in text


def test_a_long_traceback_keeps_its_end() -> None:
    detail = describe(raised(ValueError("x" * 20_000 + "the end")))
    assert len(detail) == DETAIL_LIMIT
    assert detail.rstrip().endswith("the end")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_whose_own_text_fails_is_still_described() -> None:
    assert one_line(Unspeakable()) == "Unspeakable: (its text cannot be read: RuntimeError)"
    assert "Unspeakable" in describe(raised(Unspeakable()))


WRONG: Any = timedelta(minutes=1)
NOTHING: Any = None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(delay=-1),
        lambda: Snooze(-0.5),
        lambda: Snooze(float("nan")),
        lambda: Retry(delay=WRONG),
        lambda: Snooze(NOTHING),
        lambda: Retry(delay=10**400),
    ],
)
def test_a_negative_delay_is_refused_where_it_is_said(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="0 or more"):
        make()


def test_a_delay_in_the_place_of_the_message_of_a_retry_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Retry\(delay=5\)"):
        Retry(cast("str", 5))


def test_a_retry_that_is_asked_for_goes_before_what_is_given_up_on() -> None:
    policy = RetryPolicy(give_up_on=(Exception,))
    assert isinstance(decide(Retry(), 1, policy), Again)
    assert isinstance(decide(ProcessDied("killed by SIGKILL"), 1, policy), Dead)


def test_a_policy_crosses_a_process_boundary() -> None:
    policy = RetryPolicy(retry_on=(OSError, KeyError), give_up_on=(FileNotFoundError,))
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 2.0},
        {"delay": -1},
        {"delay": math.nan},
        {"max_delay": math.inf},
        {"max_delay": "a day"},
        {"strategy": "linear"},
        {"retry_on": [OSError]},
        {"retry_on": OSError},
        {"give_up_on": ("OSError",)},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} is "):
        RetryPolicy(**wrong)

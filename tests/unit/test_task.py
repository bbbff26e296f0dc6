import copy
import functools
import inspect
import pickle
import subprocess
import sys
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from asyncdq import Client, task
from asyncdq.errors import InvalidCall, InvalidTask
from asyncdq.tasks import registry


@task(queue="emails", max_attempts=5, retry_delay=30, timeout=300)
async def send_email(to: str, subject: str = "none") -> str:
    """Sends one email."""
    return f"{to}: {subject}"


@task
def double(number: int) -> int:
    return number * 2


async def test_a_task_is_still_an_ordinary_function() -> None:
    assert await send_email("a@example.com", subject="Hi") == "a@example.com: Hi"
    assert double(21) == 42
    assert send_email.__doc__ == "Sends one email."
    assert list(inspect.signature(send_email).parameters) == ["to", "subject"]


def test_it_is_shown_with_what_was_said_of_it() -> None:
    assert repr(double) == f"Task('{__name__}.double')"
    shown = f"Task('{__name__}.send_email', queue='emails', max_attempts=5, retry_delay=30, timeout=300)"
    assert repr(send_email) == shown
    assert repr(send_email.using(delay=2.5, id="x1")) == f"{shown}.using(id='x1', delay=2.5)"


def test_its_name_is_its_module_and_qualname() -> None:
    assert send_email.name == f"{__name__}.send_email"
    assert registry()[send_email.name] is send_email


def test_a_script_names_its_tasks_after_its_file(tmp_path: Path) -> None:
    script = tmp_path / "jobs.py"
    script.write_text("from asyncdq import task\n@task\ndef run() -> None: ...\nprint(run.name)\n")
    assert subprocess.check_output([sys.executable, script], text=True).strip() == "jobs.run"
    module = subprocess.check_output([sys.executable, "-m", "jobs"], text=True, cwd=tmp_path).strip()
    assert module == "jobs.run"


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), (("a", "b", "c"), {}), (("a",), {"topic": "x"})])
def test_arguments_that_do_not_fit_are_an_error_of_the_caller(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(InvalidCall, match="send_email"):
        send_email.bind(*args, **kwargs)
    with pytest.raises(TypeError):
        send_email.bind(*args, **kwargs)


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "a",
        "a, b=1",
        "a=1",
        "a, /",
        "a, /, b=1",
        "*rest",
        "a, *rest",
        "*, a",
        "*, a=1",
        "a, *, b",
        "**more",
        "a, **more",
    ],
)
def test_any_number_of_arguments_is_taken_or_refused_as_the_function_itself_would(parameters: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def function({parameters}): ...", space)
    bound = task(name=f"test_task.takes({parameters})")(space["function"])
    for count in range(4):
        try:
            space["function"](*range(count))
        except TypeError:
            with pytest.raises(InvalidCall):
                bound.bind(*range(count))
        else:
            assert bound.bind(*range(count)).args == tuple(range(count))


def test_using_changes_what_is_enqueued_and_nothing_else() -> None:
    later = send_email.using(queue="high", delay=3600)
    options = later.using(id="x1").bind("a@example.com").options
    assert (options.queue, options.delay, options.id) == ("high", 3600, "x1")
    assert send_email.bind("a@example.com").options.queue == "emails"
    assert later.max_attempts == 5


def test_a_task_is_pickled_as_the_function_that_it_is() -> None:
    assert pickle.loads(pickle.dumps(double)) is double
    assert pickle.loads(pickle.dumps([double, {"a": send_email}])) == [double, {"a": send_email}]


def test_options_of_using_are_pickled_with_it() -> None:
    later = send_email.using(queue="high", delay=3600, run_at=datetime.now(UTC)).using(id="x1")
    again = pickle.loads(pickle.dumps(later))
    assert again.bind("a@example.com") == later.bind("a@example.com")
    assert (again.function, again.max_attempts) == (later.function, 5)


def test_a_task_with_a_client_is_not_pickled_and_says_why() -> None:
    with pytest.raises(pickle.PicklingError, match=r"send_email cannot be pickled: its client .*using\(client="):
        pickle.dumps(send_email.using(client=Client("sqlite://:memory:")))


def test_a_task_that_no_other_process_would_find_is_not_pickled_and_says_why() -> None:
    hidden = task(name="test_task.hidden")(sample)
    nested = task(name="test_task.nested")(inner())
    for each in (hidden, hidden.using(delay=1), nested):
        with pytest.raises(pickle.PicklingError, match=r"cannot be pickled: it is not what .*test_task has as"):
            pickle.dumps(each)


def test_a_copy_of_a_task_is_the_task() -> None:
    for each in (double, double.using(delay=1, client=Client("sqlite://:memory:")), task(name="test_task.in")(inner())):
        assert copy.copy(each) is each
        assert copy.deepcopy([each]) == [each]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_task_of_a_script_is_called_in_the_processes_of_an_executor(method: str, tmp_path: Path) -> None:
    script = tmp_path / "jobs.py"
    script.write_text(
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from asyncdq import task\n"
        "@task\n"
        "def double(number: int) -> int:\n"
        "    return number * 2\n"
        "if __name__ == '__main__':\n"
        f"    with ProcessPoolExecutor(1, mp_context=get_context('{method}')) as executor:\n"
        "        print(*executor.map(double, [1, 2]), *executor.map(double.using(delay=1), [3]))\n"
    )
    assert subprocess.check_output([sys.executable, script], text=True, timeout=60) == "2 4 6\n"


def generate() -> Generator[int]:
    yield 1


def sample(number: int) -> None: ...


def inner() -> Any:
    def nested() -> None: ...

    return nested


class Mailer:
    def send(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (generate, {}, "generator"),
        (Mailer.send, {}, "module level"),
        (Mailer, {}, "def or async def"),
        (functools.partial(sample, 1), {}, "def or async def"),
        (lambda: None, {}, "name="),
        (inner(), {}, "name="),
        (inner(), {"name": "inner", "process": True}, "module level"),
        (sample, {"max_attempts": 0}, "1 or more"),
        (sample, {"max_attempts": 1.5}, "1 or more"),
        (sample, {"retry_delay": -1}, "0 or more"),
        (sample, {"retry_delay": float("inf")}, "0 or more"),
        (sample, {"timeout": 0}, "or more"),
        (sample, {"visibility_timeout": True}, "or more"),
        (sample, {"retry_strategy": "linear"}, "fixed"),
        (sample, {"retry_on": ("OSError",)}, "error classes"),
        (sample, {"retry_jitter": 0.5}, "retry_jitter is True or False"),
        (sample, {"process": "no"}, "process is True or False"),
        (sample, {"retry_max_delay": -1}, "retry_max_delay is a number of seconds"),
        (sample, {"retry_delay": 10**400}, "retry_delay is a number of seconds"),
        (sample, {"name": ""}, "task name"),
        (sample, {"name": "a\nb"}, "task name"),
        (sample, {"queue": "bad queue"}, "A-Z"),
    ],
)
def test_what_cannot_be_a_task_is_refused_with_the_remedy(function: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidTask, match=says):
        task(**options)(function)


def test_a_single_error_class_may_stand_alone() -> None:
    made = task(name="test_task.one_error", retry_on=OSError)(sample)
    assert made.retry_on == (OSError,)


def test_run_at_may_lie_in_the_past_and_needs_a_zone() -> None:
    from asyncdq.ranges import delay_of

    past = send_email.using(run_at=datetime.now(UTC) - timedelta(days=1)).bind("a")
    assert delay_of(past.options, "x") == 0.0
    naive = send_email.using(run_at=datetime(2030, 1, 1)).bind("a")
    with pytest.raises(InvalidCall, match="time zone"):
        delay_of(naive.options, "x")

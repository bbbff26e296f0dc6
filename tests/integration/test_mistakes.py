"""Mistakes as users make them: each is one line that says what to do, with exit code 2, and costs no task."""

from __future__ import annotations

import pytest

from . import jobs
from .workers import JOBS, Site, WorkerProcess, sqlite_only

pytestmark = sqlite_only

TASK = "from asyncdq import task\n"

TWO_OF_ONE_NAME = "from asyncdq import task\n@task(name='shop.sell')\ndef {}() -> None: ...\n"

MODULES = {
    "a process task inside a function": (
        "def make():\n    @task(process=True, name='inner')\n    def inner() -> None: ...\nmake()\n",
        "a process task must stand at module level",
    ),
    "a function inside a function": (
        "def make():\n    @task\n    def inner() -> None: ...\nmake()\n",
        "@task(name=...)",
    ),
    "a method": ("class Shop:\n    @task\n    def sell(self) -> None: ...\n", "move it to a function at module level"),
    "a generator": ("@task\ndef sell():\n    yield\n", "return a value instead of yielding"),
    "an unknown strategy": ("@task(retry_strategy='random')\ndef f() -> None: ...\n", "'fixed' or 'exponential'"),
    "no attempts": ("@task(max_attempts=0)\ndef f() -> None: ...\n", "max_attempts is a whole number, 1 or more"),
    "a timeout in the past": ("@task(timeout=-1)\ndef f() -> None: ...\n", "timeout is a number of seconds"),
    "a queue with a space": ("@task(queue='a b')\ndef f() -> None: ...\n", "use 1 to 64 of A-Z, a-z, 0-9"),
    "an option that does not exist": ("@task(tries=3)\ndef f() -> None: ...\n", "tries"),
}

ARGUMENTS = {
    "an unknown driver": (["--driver", "mongo", "--url", ""], "there is no driver 'mongo'; known are: sqlite"),
    "an unknown scheme": (["--url", "mongo://me:hunter2@h"], "no driver has the URL scheme 'mongo'"),
    "no directory": (["--url", "sqlite:///nowhere/at/all.db"], "create the directory /nowhere/at"),
    "a directory": (["--url", "sqlite:///tmp"], "it must be a file"),
    "a place nobody can write": (["--url", "sqlite:///proc/queue.db"], "must exist and be writable"),
    "a file of another kind": (["--url", f"sqlite://{__file__}"], "it is not an SQLite database"),
    "an unknown option of the URL": (["--url", "sqlite://x.db?wal=1"], "has no such option"),
    "a queue with a space": (["--queues", "a b"], "queue name 'a b'"),
    "a negative period": (["--grace-period", "-1"], "--grace-period"),
    "no tasks at most": (["--max-tasks", "0"], "--max-tasks"),
    "an unknown serializer": (["--serializer", "yaml"], "unknown serializer 'yaml'"),
}


async def refused(worker: WorkerProcess) -> str:
    """The one line that a worker said before it gave up."""
    assert await worker.exited() == 2
    lines = worker.log_lines("")
    errors = [line for line in lines if " INFO " not in line]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    return errors[0]


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_worker_that_is_told_nonsense_says_so_in_one_line(name: str, site: Site) -> None:
    await site.enqueue([jobs.mark.bind()])
    arguments, message = ARGUMENTS[name]
    if "--url" in arguments and not arguments[-1]:
        del site.environment["ASYNCDQ_URL"]
        arguments = arguments[:-2]
    line = await refused(site.start(*arguments))
    assert message in line
    assert "hunter2" not in line
    assert (await site.stats()).ready == 1


@pytest.mark.parametrize("name", MODULES)
async def test_a_module_with_a_task_that_cannot_be_one_is_refused_in_one_line(name: str, site: Site) -> None:
    text, message = MODULES[name]
    (site.folder / "shop.py").write_text(TASK + text)
    line = await refused(site.start(modules=("shop",)))
    assert message in line
    assert "shop" in line


async def test_two_tasks_of_one_name_in_the_modules_of_a_worker_are_refused(site: Site) -> None:
    for name in ("first", "second"):
        (site.folder / f"{name}.py").write_text(TWO_OF_ONE_NAME.format(name))
    line = await refused(site.start(modules=("first", "second")))
    assert "two tasks are named 'shop.sell'" in line
    assert "first.py:2" in line
    assert "second.py:2" in line


async def test_uvloop_that_is_not_installed_is_named_with_its_extra(site: Site) -> None:
    # What Python runs at its start in this environment hides the module, as if it were not there.
    (site.folder / "sitecustomize.py").write_text("import sys\nsys.modules['uvloop'] = None\n")
    site.environment["PYTHONPATH"] = f"{site.folder}:{site.environment['PYTHONPATH']}"
    assert "pip install 'asyncdq[uvloop]'" in await refused(site.start("--uvloop"))


async def test_uvloop_runs_the_tasks_where_it_is_installed(site: Site) -> None:
    pytest.importorskip("uvloop")
    await site.enqueue([jobs.mark.bind(), jobs.mark_in_thread.bind(), jobs.mark_in_process.bind()])
    worker = site.start("--uvloop", "--burst")
    assert await worker.exited() == 0
    assert len(site.ledger.successes()) == 3


CALLS = {
    "an argument that cannot be written": ("mark.enqueue(object())", "UnserializableArgument", "pass plain data"),
    "a message over the limit": ("mark.enqueue('x' * 2**24)", "BodyTooLarge", "enqueue its key"),
    "a negative delay": ("mark.using(delay=-1).enqueue()", "InvalidCall", "delay is a number of seconds, 0 or more"),
    "a queue with a space": ("mark.using(queue='a b').enqueue()", "ConfigurationError", "queue name 'a b'"),
    "an argument too many": ("mark.enqueue('a', 'b')", "InvalidCall", "too many positional arguments"),
    "a time without a zone": (
        "mark.using(run_at=datetime.now()).enqueue()",
        "InvalidCall",
        "a datetime with a time zone",
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_wrong_call_raises_in_the_script_and_leaves_no_trace(name: str, site: Site) -> None:
    call, error, message = CALLS[name]
    text = f"import asyncio\nfrom datetime import datetime\nfrom {JOBS} import mark\nasyncio.run({call})"
    code, _, errors = await site.script(text)
    last = errors.splitlines()[-1]
    assert code == 1
    assert last.startswith(f"asyncdq.errors.{error}: ")
    assert message in last
    assert (await site.stats()).ready == 0

"""The command line as its users meet it: real processes, each in a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

import asyncdq
from asyncdq.drivers import from_url
from asyncdq.message import Dead, Message
from asyncdq.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCDQ_")}
ENVIRONMENT = CLEAN | {"PYTHONPATH": str(ROOT)}
COMMAND = (sys.executable, "-m", "asyncdq")

TASKS = """
import threading
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID
from asyncdq import task

@task
async def greet(name: str) -> None:
    print(f"hello {name}", flush=True)

@task(max_attempts=1)
async def fail() -> None:
    raise ValueError("on [red]purpose")

@task(max_attempts=1)
async def umlaut() -> None:
    raise ValueError("für nichts")

@task(max_attempts=1)
def typed(day: date, wait: timedelta | None, ids: set[UUID], prices: dict[str, Decimal]) -> None:
    print("got", day, wait, ids, prices, flush=True)

@task
def hang() -> None:
    print("hanging", flush=True)
    threading.Event().wait()
"""


class Shell:
    """Runs commands in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, stdin: int = subprocess.DEVNULL, **more: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 60}
        command = [*COMMAND, *arguments]
        return subprocess.run(command, cwd=self.folder, env=ENVIRONMENT, stdin=stdin, **options | more)

    @contextmanager
    def started(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
        pipe, command = subprocess.PIPE, [*COMMAND, *arguments]
        with subprocess.Popen(
            command, cwd=self.folder, env=ENVIRONMENT, stdin=stdin, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def refused(self, *arguments: str, code: int = 2) -> str:
        done = self.run(*arguments)
        lines = done.stderr.splitlines()
        assert (done.returncode, done.stdout, len(lines)) == (code, "", 1)
        assert lines[0].startswith("error: ")
        return lines[0]

    def counts(self, queue: str = "default") -> dict[str, int]:
        counts: dict[str, int] = json.loads(self.ok("queues", "--json")).get(queue, {})
        return {state: number for state, number in counts.items() if number}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "tasks.py").write_text(TASKS)
    return Shell(tmp_path)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Our end of a terminal, and the end that a command gets."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def bury_one(shell: Shell) -> str:
    id = shell.ok("enqueue", "tasks.fail").strip()
    assert shell.run("worker", "--burst").returncode == 0
    return id


def test_the_version_is_printed(shell: Shell) -> None:
    assert shell.ok("--version") == f"asyncdq {asyncdq.__version__}\n"


def test_the_installed_command_is_the_same(shell: Shell) -> None:
    script = Path(sys.executable).with_name("asyncdq")
    if not script.exists():
        pytest.skip("asyncdq is not installed in this environment")
    done = subprocess.run([script, "--help"], cwd=shell.folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, shell.ok("--help"))


def test_children_that_import_the_main_module_again_do_not_load_the_command_line(shell: Shell) -> None:
    code = "import sys, asyncdq.__main__; print('asyncdq.cli' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == "False False\n"


def test_the_help_of_the_worker_names_every_option(shell: Shell) -> None:
    text = shell.ok("worker", "--help")
    flags = ["--" + name.replace("_", "-") for name in Settings.model_fields if name != "tasks"]
    assert [flag for flag in [*flags, "MODULES", "-q", "-c", "-n", "-b", "-v"] if flag not in text] == []


def test_arguments_of_the_command_line_become_what_the_task_names(shell: Shell) -> None:
    id = "01a2006a-1cfa-72a7-90a7-f80900bfdf96"
    shell.ok("enqueue", "tasks.typed", json.dumps(["2026-01-31", "PT90S", [id, id], {"tea": "1.10"}]))
    shell.ok("enqueue", "tasks.typed", json.dumps({"day": "today", "wait": None, "ids": [], "prices": {}}))
    done = shell.run("worker", "--burst")
    assert done.stdout == f"got 2026-01-31 0:01:30 {{UUID('{id}')}} {{'tea': Decimal('1.10')}}\n"
    (dead,) = map(json.loads, shell.ok("dead", "list", "default", "--json").splitlines())
    assert dead["error"].startswith("InvalidCall: typed(): day is datetime.date, and 'today' (str) does not fit")


def test_what_is_enqueued_by_name_is_counted_then_run(shell: Shell) -> None:
    shell.ok("enqueue", "tasks.greet", '["Ada"]')
    shell.ok("enqueue", "tasks.greet", '{"name": "Bob"}')
    shell.ok("enqueue", "tasks.greet", '["late"]', "--delay", "3600")
    assert shell.counts() == {"ready": 2, "delayed": 1}
    worked = shell.run("worker", "--burst")
    assert (worked.returncode, worked.stdout) == (0, "hello Ada\nhello Bob\n")
    assert shell.counts() == {"delayed": 1}


def test_the_worker_says_at_its_start_what_it_works_on(shell: Shell) -> None:
    log = shell.run("worker", "-b", "-q", "high,low", "--name", "w1", "-c", "3").stderr
    assert f"asyncdq {asyncdq.__version__}, worker w1" in log
    assert f"driver sqlite, {shell.folder / 'asyncdq.db'}" in log
    assert "queues high, low, concurrency 3" in log
    assert "modules tasks (found in the working directory)" in log
    assert "5 tasks: tasks.fail, tasks.greet, tasks.hang, tasks.typed, tasks.umlaut" in log


def test_tasks_are_discovered_one_folder_deep_unless_modules_are_named(shell: Shell) -> None:
    (shell.folder / "shop").mkdir()
    (shell.folder / "shop" / "tasks.py").write_text("from asyncdq import task\n@task\ndef sell() -> None: ...\n")
    assert "shop.tasks.sell, tasks.fail" in shell.run("worker", "-b").stderr
    assert "1 tasks: shop.tasks.sell" in shell.run("worker", "-b", "shop.tasks").stderr


def test_json_logs_are_one_object_per_line_with_the_facts_of_each_task(shell: Shell) -> None:
    id = shell.ok("enqueue", "tasks.greet", '["Ada"]').strip()
    log = shell.run("worker", "--burst", "--log-format", "json").stderr
    lines = [json.loads(line) for line in log.splitlines()]
    done = next(line for line in lines if line.get("event") == "task_completed")
    assert (done["task_id"], done["task"], done["queue"], done["attempt"]) == (id, "tasks.greet", "default", 1)
    assert (done["level"], done["logger"]) == ("info", "asyncdq.worker")


def test_the_log_level_hides_what_is_less_important(shell: Shell) -> None:
    bury_one(shell)
    shell.ok("dead", "requeue", "default", "--all")
    line, *rest = shell.run("worker", "-b", "-v", "error").stderr.splitlines()
    assert "ValueError: on [red]purpose" in line
    assert [more for more in rest if not more.startswith("  ")] == []  # all of it is the traceback


def test_sigterm_ends_a_worker_with_exit_code_0(shell: Shell) -> None:
    with shell.started("worker") as worker:
        assert worker.stderr is not None
        assert any("is ready" in line for line in worker.stderr)
        worker.terminate()
        worker.communicate(timeout=30)
        assert worker.returncode == 0


def test_a_thread_that_never_ends_does_not_hold_up_the_exit(shell: Shell) -> None:
    shell.ok("enqueue", "tasks.hang")
    with shell.started("worker", "--grace-period", "0.1") as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "hanging\n"
        worker.terminate()
        worker.communicate(timeout=30)
        assert worker.returncode == 0


def test_a_dead_letter_is_listed_shown_requeued_and_deleted(shell: Shell) -> None:
    id = bury_one(shell)
    (listed,) = map(json.loads, shell.ok("dead", "list", "default", "--json").splitlines())
    assert (listed["id"], listed["task"], listed["reason"], listed["attempts"]) == (id, "tasks.fail", "attempts", 1)
    assert "ValueError: on [red]purpose" in shell.ok("dead", "list", "default")
    assert "Traceback (most recent call last)" in shell.ok("dead", "show", "default", id)
    assert shell.ok("dead", "requeue", "default", id) == "requeued 1 of default\n"
    assert shell.counts() == {"ready": 1}
    shell.run("worker", "--burst")
    assert shell.ok("dead", "delete", "default", "--all", "--yes") == "deleted 1 of default\n"
    assert shell.counts() == {}


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
def test_the_arguments_of_a_dead_letter_are_shown(shell: Shell, serializer: str) -> None:
    called = [["Ada\x1b[2J", 1.5, None], {"id": 7}]
    code = (
        "import asyncio, datetime\n"
        "from asyncdq import Call, Client\n"
        "async def main():\n"
        f"    async with Client('sqlite://asyncdq.db', serializer='{serializer}') as client:\n"
        f"        args = (*{called[0]!r}, datetime.date(2026, 1, 31))\n"
        f"        calls = [Call('tasks.fail', args, {called[1]!r}), Call('tasks.fail', ('x' * 5000,), {{}})]\n"
        "        print(*(each.id for each in await client.enqueue_many(calls)))\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shell.folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    first, second = done.stdout.split()
    assert shell.run("worker", "--burst", "--serializer", serializer).returncode == 0
    called[0] = [*called[0], {"$date": "2026-01-31"}]
    assert json.loads(shell.ok("dead", "show", "default", first, "--json"))["arguments"] == called
    assert json.loads(shell.ok("dead", "list", "default", "--json").splitlines()[0])["arguments"] == called
    text = r"""["Ada\u001b[2J", 1.5, null, {"$date": "2026-01-31"}] {"id": 7}"""
    assert f"arguments:   {text}\n" in shell.ok("dead", "show", "default", first)
    assert f'arguments:   ["{"x" * 998}... (5004 characters)\n' in shell.ok("dead", "show", "default", second)
    shell.ok("enqueue", "tasks.fail", text, "--id", "again")
    shell.run("worker", "--burst")
    assert json.loads(shell.ok("dead", "show", "default", "again", "--json"))["arguments"] == called


UNREADABLE = {
    "an unknown format": (
        msgpack.packb([1, "a", "application/x-python-pickle", b"cos\nsystem\n(S'touch ran'\ntR.", {}, {}]),
        "? ('application/x-python-pickle' is not read here)",
    ),
    "no envelope": (b"nonsense", "? (the body is not an envelope: "),
    "a newer envelope": (msgpack.packb([9, "a"]), "? (the body has version 9, "),
    "no msgpack": (
        msgpack.packb([1, "a", "application/msgpack", b"\xc1", {}, {}]),
        "? (the arguments are not readable",
    ),
    "no list and map": (
        msgpack.packb([1, "a", "application/msgpack", b"\x01", {}, {}]),
        "? (they are not a list and a",
    ),
    "half a pair": (
        msgpack.packb([1, "a", "application/json", b'[["\\ud800"], {}]', {}, {}]),
        "? (cannot write str at",
    ),
    "a long number": (
        msgpack.packb([1, "a", "application/json", b'[[{"$int": "0x' + b"f" * 9000 + b'"}], {}]', {}, {}]),
        '[{"$int": "0xfff',
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_arguments_that_cannot_be_read_are_said_to_be_so_and_never_unpickled(shell: Shell, name: str) -> None:
    body, says = UNREADABLE[name]

    async def bury() -> None:
        async with from_url(f"sqlite://{shell.folder}/asyncdq.db") as driver:
            await driver.setup()
            await driver.enqueue([Message("1", "default", body)])
            (delivery,) = await driver.dequeue({"default": 1}, 1, 60.0)
            await driver.settle([(delivery, Dead("undecodable"))])

    asyncio.run(bury())
    assert f"\narguments:   {says}" in shell.ok("dead", "show", "default", "1")
    found = json.loads(shell.ok("dead", "show", "default", "1", "--json"))["arguments"]
    assert isinstance(found, str) == says.startswith("?")
    assert not (shell.folder / "ran").exists()


def test_a_dead_letter_that_is_not_there_is_said_with_exit_code_1(shell: Shell) -> None:
    assert "no dead letter x" in shell.refused("dead", "show", "default", "x", code=1)
    done = shell.run("dead", "requeue", "default", "x")
    assert (done.returncode, done.stdout) == (1, "requeued 0 of default\n")
    assert done.stderr.startswith("error: not requeued: x")


def test_purge_deletes_what_waits_if_it_is_told_not_to_ask(shell: Shell) -> None:
    shell.ok("enqueue", "tasks.greet")
    assert "--yes" in shell.refused("purge", "default")
    assert shell.ok("purge", "default", "--yes") == "deleted 1 from default\n"
    assert shell.counts() == {}


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, {}), (b"n\n", 1, {"ready": 1})])
def test_purge_asks_on_a_terminal(
    answer: bytes, code: int, left: dict[str, int], shell: Shell, terminal: tuple[int, int]
) -> None:
    shell.ok("enqueue", "tasks.greet")
    os.write(terminal[0], answer)
    assert shell.run("purge", "default", stdin=terminal[1]).returncode == code
    assert shell.counts() == left


def test_ctrl_c_at_a_question_leaves_no_traceback(shell: Shell, terminal: tuple[int, int]) -> None:
    with shell.started("purge", "default", stdin=terminal[1]) as purge:
        assert purge.stdout is not None
        assert purge.stdout.read(6) == "Delete"
        purge.send_signal(signal.SIGINT)
        _, errors = purge.communicate(timeout=30)
        assert (purge.returncode, "Traceback" in errors) == (130, False)


def test_a_table_is_drawn_on_a_terminal(shell: Shell, terminal: tuple[int, int]) -> None:
    shell.ok("enqueue", "tasks.greet")
    assert shell.run("queues", stdout=terminal[1]).returncode == 0
    drawn = os.read(terminal[0], 10_000).decode()
    assert "│ default │ 1" in drawn


def test_a_table_that_does_not_fit_the_terminal_is_not_cut(shell: Shell, terminal: tuple[int, int]) -> None:
    id = bury_one(shell)
    termios.tcsetwinsize(terminal[1], (24, 80))
    assert shell.run("dead", "list", "default", stdout=terminal[1]).returncode == 0
    assert id in os.read(terminal[0], 10_000).decode()


def test_what_the_terminal_cannot_show_is_escaped(shell: Shell) -> None:
    shell.ok("enqueue", "tasks.umlaut")
    assert shell.run("worker", "--burst").returncode == 0
    command = [*COMMAND, "dead", "list", "default"]
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command, cwd=shell.folder, env=environment, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "f\\xfcr nichts" in shown.stdout


def test_an_output_that_is_closed_is_no_error(shell: Shell) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "enqueue", "tasks.greet", '["Ada"]']
    done = subprocess.run(command, cwd=shell.folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert shell.counts() == {"ready": 1}


def test_a_serializer_beside_the_tasks_is_found_by_the_installed_command(shell: Shell) -> None:
    script = Path(sys.executable).with_name("asyncdq")
    if not script.exists():
        pytest.skip("asyncdq is not installed in this environment")
    (shell.folder / "own.py").write_text(
        "import json\n"
        "class Own:\n"
        "    content_type = 'application/x-own'\n"
        "    def dumps(self, value): return json.dumps(value).encode()\n"
        "    def loads(self, data): return json.loads(data)\n"
    )
    environment = CLEAN | {"PYTHONPATH": ""}
    command = [str(script), "enqueue", "tasks.greet", '["Ada"]', "--serializer", "own:Own"]
    done = subprocess.run(command, cwd=shell.folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_met_quietly(shell: Shell) -> None:
    shell.ok("enqueue", "tasks.greet")
    reader, writer = os.pipe()
    os.close(reader)
    done = shell.run("queues", stdout=writer)
    os.close(writer)
    assert done.stderr == ""


def test_migrate_prints_what_it_would_do_then_does_it_once(shell: Shell) -> None:
    assert "create table" in shell.ok("migrate", "--dry-run").lower()
    assert shell.ok("migrate").startswith("ran ")
    assert shell.ok("migrate") == "nothing to do\n"


def test_queues_that_are_named_are_counted_and_no_others(shell: Shell) -> None:
    for queue in ("default", "high"):
        shell.ok("enqueue", "tasks.greet", '["Ada"]', "--queue", queue)
    counted = json.loads(shell.ok("queues", "high", "low", "--json"))
    assert {queue: counts["ready"] for queue, counts in counted.items()} == {"high": 1, "low": 0}


def test_an_id_that_waits_already_is_stored_once(shell: Shell) -> None:
    shell.ok("enqueue", "tasks.greet", "--id", "mine")
    again = shell.run("enqueue", "tasks.greet", "--id", "mine")
    assert (again.returncode, again.stdout) == (0, "mine\n")
    assert "nothing was stored" in again.stderr
    assert shell.counts() == {"ready": 1}


MISTAKES = [
    (["dance"], "No such command 'dance'"),
    (["queues", "--dance"], "No such option"),
    (["queues", "--driver", "mongo"], "there is no driver 'mongo'; known are: sqlite"),
    (["queues", "--url", "mongo://me:hunter2@h"], "no driver has the URL scheme 'mongo'"),
    (["queues", "--url", "postgresql+asyncpg://me:hunter2@h/d"], "no driver has the URL scheme 'postgresql+asyncpg'"),
    (["worker", "--concurrency", "0"], "--concurrency: '0' is not accepted"),
    (["worker", "nowhere"], "there is no module 'nowhere'"),
    (["worker", "tasks.py"], "name its module: asyncdq worker tasks"),
    (["enqueue"], "Missing argument"),
    (["enqueue", "x", "[1"], "ARGS_JSON is not JSON"),
    (["enqueue", "x", "3"], "ARGS_JSON is a JSON list or object"),
    (["enqueue", "x", "--delay=-1"], "delay is a number of seconds, 0 or more"),
    (["enqueue", "x", "--queue", "a b"], "queue name 'a b'"),
    (["dead", "requeue", "default"], "--all"),
    (["queues", "a/b"], "queue name 'a/b'"),
    (["dead", "list", "a/b"], "queue name 'a/b'"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:30])
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], message: str, shell: Shell) -> None:
    line = shell.refused(*arguments)
    assert message in line
    assert "hunter2" not in line


def test_a_module_that_cannot_be_imported_is_one_line_and_debug_shows_the_traceback(shell: Shell) -> None:
    (shell.folder / "broken.py").write_text("import json\nraise RuntimeError('bad day')\n")
    line = shell.refused("worker", "broken")
    assert f"'broken' cannot be imported: RuntimeError: bad day ({shell.folder / 'broken.py'}:2)" in line
    assert "Traceback" in shell.run("worker", "broken", "--log-level", "debug").stderr


@pytest.mark.parametrize("importer", ["broken", "app"])
def test_a_syntax_error_has_its_own_place_whoever_imports_it(shell: Shell, importer: str) -> None:
    (shell.folder / "broken.py").write_text("import json\n\ndef task()\n    pass\n")
    (shell.folder / "app.py").write_text("import broken\n")
    line = shell.refused("worker", importer)
    assert f"{importer!r} cannot be imported: SyntaxError: expected ':' ({shell.folder / 'broken.py'}:3)" in line


def test_a_module_that_is_no_text_has_no_place(shell: Shell) -> None:
    (shell.folder / "binary.py").write_bytes(b"\0")
    line = shell.refused("worker", "binary")
    assert "'binary' cannot be imported" in line
    assert "importlib" not in line


def test_a_worker_says_which_of_its_tasks_go_to_queues_that_it_does_not_work(shell: Shell) -> None:
    (shell.folder / "mail.py").write_text(
        "from asyncdq import task\n"
        "@task(queue='emails')\ndef mail(): ...\n"
        "@task(queue='reports')\ndef one(): ...\n"
        "@task(queue='reports')\ndef two(): ...\n"
        "@task(queue='reports')\ndef three(): ...\n"
        "@task\ndef here(): ...\n"
    )
    log = shell.run("worker", "mail", "--burst").stderr
    assert (
        "INFO    not worked here: mail.mail goes to the queue 'emails', mail.one goes to the queue 'reports', "
        "mail.three goes to the queue 'reports', 1 more to other queues\n"
    ) in log
    log = shell.run("worker", "mail", "--burst", "-q", "emails,reports").stderr
    assert "not worked here: mail.here goes to the queue 'default'\n" in log
    assert "not worked" not in shell.run("worker", "mail", "--burst", "-q", "emails,reports,default").stderr


def test_a_folder_or_a_module_without_tasks_is_refused(shell: Shell) -> None:
    (shell.folder / "empty.py").touch()
    assert "no tasks in empty" in shell.refused("worker", "empty")
    (shell.folder / "tasks.py").unlink()
    assert "has no tasks.py and no */tasks.py" in shell.refused("worker")


def test_process_tasks_without_a_pool_are_refused(shell: Shell) -> None:
    (shell.folder / "heavy.py").write_text("from asyncdq import task\n@task(process=True)\ndef f() -> None: ...\n")
    done = shell.run("worker", "heavy", "--process-pool-size", "0", "--log-level", "error")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "heavy.f" in done.stderr

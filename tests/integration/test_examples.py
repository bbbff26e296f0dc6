"""What the README and `make demo` show, run as a newcomer runs it: in processes of their own."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from asyncdq import Client, Retry, Worker, current_task, task
from asyncdq.message import QueueStats
from examples.memory_driver import MemoryDriver
from tests.servers import KINDS
from tests.servers.__main__ import configured
from tests.servers.fixtures import skip_unless_selected

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "stdlib_stats.py"
PATIENCE = 100  # seconds: far more than needed, on a machine that is busy with something else
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("ASYNCDQ_")} | {
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "1",
}

ran: list[tuple[str, int]] = []
"""The tasks on the driver in memory: which, and in which attempt."""


@task(max_attempts=2)
async def stumble(name: str) -> None:
    """Fails for good if it is told so, else only at first."""
    attempt = current_task().attempt
    ran.append((name, attempt))
    if attempt == 1 or name == "hopeless":
        raise Retry(f"{name} stumbles", delay=0.01)


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` in this folder, to its end."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
    )


def readme_file(name: str) -> str:
    """The block of the README that begins with this file's name."""
    found = re.search(rf"```python\n# {re.escape(name)}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def rows_of(results: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(results)) as database:
        return database.execute("select * from files order by path").fetchall()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the tasks.py of the README."""
    (tmp_path / "tasks.py").write_text(readme_file("tasks.py"))
    return tmp_path


def test_the_quickstart_does_what_the_readme_shows(project: Path) -> None:
    script = run(project, "tasks.py")
    counts = run(project, "-m", "asyncdq", "queues", "--json")
    worker = run(project, "-m", "asyncdq", "worker", "--max-tasks", "4")
    assert (script.returncode, script.stdout, script.stderr) == (0, "", "")
    stored = json.loads(counts.stdout)["default"]
    assert stored["ready"] + stored["delayed"] == 3  # the delay of one may be over, where a command takes so long
    assert stored["leased"] == stored["dead"] == 0
    assert sorted(worker.stdout.splitlines()) == ["Hello later!", "Hello world!", "http://example.com is fetched"]
    assert (worker.returncode, worker.stderr.count("attempt 2 of 3")) == (0, 1)


def test_a_script_without_an_event_loop_enqueues_and_exits_silently(project: Path) -> None:
    script = run(project, "-c", "from tasks import greet; greet.enqueue_sync('Ada')")
    worker = run(project, "-m", "asyncdq", "worker", "--burst")
    assert (script.returncode, script.stdout, script.stderr) == (0, "", "")
    assert worker.stdout == "Hello Ada!\n"


def test_what_is_enqueued_in_the_shell_is_run(project: Path) -> None:
    enqueued = run(project, "-m", "asyncdq", "enqueue", "tasks.greet", '["Ada"]')
    worker = run(project, "-m", "asyncdq", "worker", "--burst")
    assert re.fullmatch(r"[0-9a-f-]{36}\n", enqueued.stdout)
    assert worker.stdout == "Hello Ada!\n"


def test_the_tests_that_the_readme_shows_pass(project: Path) -> None:
    (project / "test_tasks.py").write_text(readme_file("test_tasks.py"))
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    tests = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio")
    assert "3 passed" in tests.stdout, tests.stdout


def test_the_demo_agrees_with_a_plain_loop_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path, DEMO, "--dir", tmp_path, "--limit", "120")
    rows = rows_of(tmp_path / "results.db")
    second = run(tmp_path, DEMO, "--dir", tmp_path, "--limit", "120")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "120 of 120 files done" in first.stdout  # plain lines, since this is no terminal
    assert "tasks and loop agree" in first.stdout
    assert len(rows) == 120
    assert {row[5] for row in rows} == {1, 2}  # some were retried
    assert rows_of(tmp_path / "results.db") == rows


@pytest.mark.parametrize("driver", sorted(KINDS))
def test_the_demo_runs_on_a_private_server_of_which_nothing_is_left(
    driver: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    skip_unless_selected(driver, request.config)
    command = [str(DEMO), "--driver", driver, "--dir", str(tmp_path), "--limit", "120"]
    demo = run(ROOT, "-m", "tests.servers", driver, "--", sys.executable, *command)
    (port,) = re.findall(rf"^{driver}: a private server, .*?127\.0\.0\.1(?::|%3A)(\d+)", demo.stdout, re.MULTILINE)
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "tasks and loop agree" in demo.stdout
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) == errno.ECONNREFUSED


def test_a_command_runs_on_the_server_that_the_settings_name(tmp_path: Path) -> None:
    named = ENVIRONMENT | {"ASYNCDQ_REDIS_URL": "redis://example.org:1/2"}
    says = "import os, sys; print(os.environ['ASYNCDQ_URL']); sys.exit(7)"
    command = [sys.executable, "-m", "tests.servers", "redis", "--", sys.executable, "-c", says]
    told = subprocess.run(command, cwd=tmp_path, env=named, capture_output=True, text=True, timeout=PATIENCE)
    assert (told.returncode, told.stdout, told.stderr) == (7, "redis://example.org:1/2\n", "")


def test_an_option_that_says_nothing_of_the_place_names_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYNCDQ_POSTGRES_MAX_POOL_SIZE", "3")
    monkeypatch.setenv("ASYNCDQ_SQS_POLL", "1")
    assert (configured("postgres"), configured("sqs")) == (None, None)
    monkeypatch.setenv("ASYNCDQ_SQS_REGION", "eu-west-1")
    assert configured("sqs") == "sqs://?poll=1&region=eu-west-1"


def test_the_demo_fails_if_tasks_and_loop_differ(tmp_path: Path) -> None:
    run(tmp_path, DEMO, "--dir", tmp_path, "--limit", "3")
    with closing(sqlite3.connect(tmp_path / "results.db")) as database, database:
        database.execute("insert into files values ('/never.py', 1, 2, 3, '', 1)")
    again = run(tmp_path, DEMO, "--dir", tmp_path, "--limit", "3")
    assert again.returncode == 1
    assert "differs: /never.py" in again.stdout


def test_the_demo_gives_up_at_its_deadline(tmp_path: Path) -> None:
    late = run(tmp_path, DEMO, "--dir", tmp_path, "--deadline", "0")
    assert late.returncode == 1
    assert "error: out of time" in late.stderr
    assert [each.info for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(each.info)] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_leaves_nothing_running_when_it_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--dir", str(tmp_path)]
    demo = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout
    while "files done" not in demo.stdout.readline():
        assert demo.poll() is None
    started = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(started, timeout=PATIENCE)
    assert (demo.returncode, errors) == (130, "interrupted\n")
    assert len(started) >= 2  # the worker and a process of its pool
    assert alive == []


async def test_a_worker_runs_tasks_on_the_driver_that_the_documentation_writes() -> None:
    ran.clear()
    driver = MemoryDriver()
    async with Client(driver) as client:
        worker = Worker(queue_driver=driver, max_tasks=4)
        working = asyncio.create_task(worker.start(handle_signals=False))
        await client.enqueue(stumble, "clumsy")
        await client.enqueue(stumble, "hopeless")
        await asyncio.wait_for(working, PATIENCE)
        (letter,) = await driver.dead("default", 10)
        assert await driver.stats("default") == QueueStats(0, 0, 0, dead=1)
    assert sorted(ran) == [("clumsy", 1), ("clumsy", 2), ("hopeless", 1), ("hopeless", 2)]
    assert (letter.reason, letter.attempts) == ("attempts", 2)


def suite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "asyncdq.testing", *arguments)


def test_the_contract_suite_runs_on_a_driver_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from examples.memory_driver import BACKEND")
    kept = suite(tmp_path, "mine:BACKEND", "-k", "test_counters or test_a_wait_ends")
    assert kept.returncode == 0, kept.stdout
    assert "no backend here has: shared" in kept.stdout


def test_the_contract_suite_finds_what_a_driver_breaks(tmp_path: Path) -> None:
    source = (ROOT / "examples" / "memory_driver.py").read_text()
    (tmp_path / "mine.py").write_text(source.replace("secrets.token_bytes(8)", "b'always the same'"))
    found = suite(tmp_path, "mine:BACKEND", "-x", "-k", "test_a_release_repeated")
    assert found.returncode == 1
    assert "FAILED" in found.stdout


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "usage: "),
        ("mine", "usage: "),
        ("json:dumps", "json:dumps is not an asyncdq.testing.Backend"),
        ("mine.driver:BACKEND", "there is no module 'mine.driver'"),
    ],
)
def test_the_contract_suite_says_what_it_needs(name: str, why: str, tmp_path: Path) -> None:
    refused = suite(tmp_path, name)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith(why)

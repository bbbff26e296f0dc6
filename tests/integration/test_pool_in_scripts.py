"""The process pool in scripts: what happens around the worker's own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .pools import ROOT, gone, pids

SCRIPT = """
import asyncio, sys
from tests.integration.pools import ProcessPool, job

async def main():
    pool = ProcessPool(1)
    for _ in range(2):
        try:
            await pool.run(job(*sys.argv[1:]), timeout=None, started=lambda: None)
        except Exception as error:
            print(error, flush=True)
    await pool.close()
"""
WITHOUT_GUARD = """
import asyncio, logging, sys
from asyncdq import Client, Worker, task

@task(process=True, max_attempts=1)
def work():
    pass

async def fill():
    async with Client(sys.argv[1]):
        await work.enqueue()

logging.basicConfig(level=logging.INFO)
if __name__ == "__main__":
    asyncio.run(fill())
asyncio.run(Worker(sys.argv[1], burst=True).start())
"""
RUN = "if __name__ == '__main__': asyncio.run(main())"


def start_script(folder: Path, text: str, *args: str) -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(text)
    command = [sys.executable, str(path), *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_what_a_task_prints_reaches_the_output_of_the_worker(tmp_path: Path) -> None:
    script = start_script(tmp_path, SCRIPT + RUN, "speak")
    assert script.communicate(timeout=60) == ("from the task\nfrom the task\n", "")


def test_a_process_that_cannot_start_fails_each_job_with_a_hint(tmp_path: Path) -> None:
    broken = "if __name__ != '__main__': raise RuntimeError('broken')\n"
    script = start_script(tmp_path, SCRIPT + broken + RUN, "speak")
    output, _ = script.communicate(timeout=60)
    assert output.count("ended with exit code 1 while it started") == 2
    assert "__main__" in output


def test_a_process_of_a_script_without_the_guard_starts_no_worker(tmp_path: Path) -> None:
    script = start_script(tmp_path, WITHOUT_GUARD, f"sqlite://{tmp_path}/queue.db")
    _, errors = script.communicate(timeout=60)
    assert errors.count("is ready") == 1
    assert "would start a worker of its own" in errors
    assert "while it started" in errors
    assert "task_failed script.work" in errors


def test_a_script_that_forgets_to_close_its_pool_still_ends(tmp_path: Path) -> None:
    script = start_script(tmp_path, SCRIPT.replace("await pool.close()", "") + RUN, "speak")
    assert script.communicate(timeout=60)[0] == "from the task\nfrom the task\n"


def test_a_busy_process_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    script = start_script(tmp_path, SCRIPT + RUN, "spin_in_c", str(tmp_path / "pid"))
    wait_for(lambda: pids(tmp_path / "pid"))
    script.kill()
    script.communicate(timeout=60)
    wait_for(lambda: gone(pids(tmp_path / "pid")[0]))


def test_ctrl_c_in_the_terminal_leaves_the_job_to_the_worker(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGINT, lambda *_: None)\n"
    script = start_script(tmp_path, SCRIPT + deaf + RUN, "spin_in_c", str(tmp_path / "pid"))
    wait_for(lambda: pids(tmp_path / "pid"))
    os.killpg(script.pid, signal.SIGINT)
    assert not gone(pids(tmp_path / "pid")[0])
    script.kill()
    script.communicate(timeout=60)


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between two looks


AT_ONCE = """
import asyncio, multiprocessing.spawn, sys
from tests.integration.pools import ProcessPool, job

async def main():
    if sys.argv[1] == "factory":
        make = lambda loop, coroutine, **options: asyncio.Task(coroutine, loop=loop, **options)
        asyncio.get_running_loop().set_task_factory(make)
    multiprocessing.spawn.set_executable("/nonexistent/python")
    pool = ProcessPool(3)
    jobs = [pool.run(job("speak"), timeout=None, started=lambda: None) for _ in range(3)]
    for error in await asyncio.gather(*jobs, return_exceptions=True):
        print(type(error).__name__)
    await pool.close()
    print("closed", len(asyncio.all_tasks()) - 1)

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["asyncio", "factory", "uvloop"])
def test_processes_that_end_at_once_cost_their_jobs_and_nothing_else(how: str, tmp_path: Path) -> None:
    script = start_script(tmp_path, AT_ONCE, how)
    output, _ = script.communicate(timeout=60)
    assert (script.returncode, output) == (0, "ProcessDied\n" * 3 + "closed 0\n")

import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from asyncdq import task
from asyncdq.errors import DuplicateTask
from asyncdq.message import UNSAID
from asyncdq.tasks import registry


@task
def in_the_default_queue() -> None: ...


EDITED = "from asyncdq import task\n{above}@task\ndef reloadable_job() -> int:\n    return {answer}\n"

TYPED_IN = """
from asyncdq import task
@task
def typed() -> int:
    return 1

@task
def typed() -> int:
    return 2

from asyncdq.tasks import registry
print("it is", registry()[typed.name]())
"""


def test_a_call_of_a_task_that_names_no_queue_is_known_at_a_glance() -> None:
    assert in_the_default_queue.bind().options is UNSAID
    assert in_the_default_queue.using(delay=1).bind().options is not UNSAID


def test_two_functions_of_one_name_are_refused_and_both_are_named() -> None:
    @task(name="test_tasks.twice")
    def first() -> None: ...

    with pytest.raises(DuplicateTask, match=r"first.*test_tasks\.py:\d+.*second.*test_tasks\.py:\d+"):

        @task(name="test_tasks.twice")
        def second() -> None: ...


def test_defining_the_same_function_again_replaces_it() -> None:
    for _ in range(2):

        @task(name="test_tasks.reloaded")
        def reloaded() -> None: ...

    assert registry()["test_tasks.reloaded"] is reloaded


def test_a_module_that_is_edited_and_reloaded_defines_its_tasks_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "reloadable_jobs.py"
    file.write_text(EDITED.format(above="", answer=1))
    module = importlib.import_module("reloadable_jobs")
    file.write_text(EDITED.format(above="\n\n", answer=42))
    importlib.reload(module)
    assert registry()["reloadable_jobs.reloadable_job"]() == 42


def test_a_module_that_defines_one_name_twice_is_refused_when_it_is_reloaded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    once = EDITED.format(above="", answer=1)
    file = tmp_path / "doubled_jobs.py"
    file.write_text(once)
    module = importlib.import_module("doubled_jobs")
    file.write_text(once + once)
    with pytest.raises(DuplicateTask, match=r"doubled_jobs\.py:2.*doubled_jobs\.py:6"):
        importlib.reload(module)


def test_a_task_that_is_renamed_under_its_name_is_the_same_when_its_module_is_reloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "renamed_jobs.py"
    text = "from asyncdq import task\n@task(name='renamed.send')\ndef {}() -> int:\n    return {}\n"
    file.write_text(text.format("send", 1))
    module = importlib.import_module("renamed_jobs")
    file.write_text(text.format("send_email", 42))
    importlib.reload(module)
    assert registry()["renamed.send"]() == 42


def test_a_script_that_is_run_again_in_one_process_defines_its_tasks_anew(tmp_path: Path) -> None:
    file = tmp_path / "run_jobs.py"
    file.write_text(EDITED.format(above="", answer=1))
    runpy.run_path(str(file), run_name="run_jobs")
    file.write_text(EDITED.format(above="\n\n", answer=42))
    runpy.run_path(str(file), run_name="run_jobs")
    assert registry()["run_jobs.reloadable_job"]() == 42


def test_two_files_that_are_loaded_as_one_module_do_not_replace_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plugin_jobs.py").write_text(EDITED.format(above="", answer=1))
        monkeypatch.syspath_prepend(tmp_path / folder)
        if folder == "a":
            importlib.import_module("plugin_jobs")
    monkeypatch.delitem(sys.modules, "plugin_jobs")
    with pytest.raises(DuplicateTask, match=r"a/plugin_jobs\.py:2.*b/plugin_jobs\.py:2"):
        importlib.import_module("plugin_jobs")


def test_what_python_c_runs_is_a_script_like_any_other() -> None:
    twice = EDITED.format(above="", answer=1) * 2
    ended = subprocess.run([sys.executable, "-c", twice], capture_output=True, text=True, timeout=30, check=False)
    assert "DuplicateTask" in ended.stderr


def test_what_is_typed_in_or_run_again_in_a_notebook_replaces_what_it_was() -> None:
    ended = subprocess.run(
        [sys.executable, "-i", "-q"], input=TYPED_IN, capture_output=True, text=True, timeout=30, check=True
    )
    assert "it is 2" in ended.stdout, ended.stderr

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from asyncdq import task
from asyncdq.errors import DuplicateTask
from asyncdq.tasks import registry

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


def test_what_is_typed_in_or_run_again_in_a_notebook_replaces_what_it_was() -> None:
    ended = subprocess.run(
        [sys.executable, "-i", "-q"], input=TYPED_IN, capture_output=True, text=True, timeout=30, check=True
    )
    assert "it is 2" in ended.stdout, ended.stderr

"""Type checkers see a task as its function: mypy and pyright, both strict, over accepted.py and refused.py.

A line that ends with `# error` must be reported by each of them, and no other line may be. A third file,
wrong on purpose about its marks, shows that both kinds of mistake are found.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PLANTED = "number: int = 'unmarked'\ntext: str = 'marked'  # error\n"

Spots = set[tuple[str, int]]
Reports = dict[str, Spots]


def mypy(files: list[Path], scratch: Path) -> Spots:
    settings = ("--strict", "--config-file", ROOT / "pyproject.toml", "--python-version", VERSION)
    shown = ("--cache-dir", scratch / "mypy", "--show-absolute-path", "--no-pretty", "--no-error-summary")
    answer = run(sys.executable, "-m", "mypy", *settings, *shown, *files)
    found = re.findall(r"^(.+?):(\d+): error:", answer, re.MULTILINE)
    return {(Path(path).name, int(line)) for path, line in found if Path(path) in files}


def pyright(files: list[Path], scratch: Path) -> Spots:
    settings = {
        "include": [os.path.relpath(path, scratch) for path in files],
        "extraPaths": [str(ROOT)],
        "stubPath": str(ROOT / "stubs"),
        "typeCheckingMode": "strict",
        "pythonVersion": VERSION,
    }
    (scratch / "pyrightconfig.json").write_text(json.dumps(settings))
    answer = run(sys.executable, "-m", "pyright", "--outputjson", "-p", scratch, "--pythonpath", sys.executable)
    found = [each for each in json.loads(answer)["generalDiagnostics"] if each["severity"] == "error"]
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found}


@pytest.fixture(scope="session", params=[mypy, pyright], ids=["mypy", "pyright"])
def reported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Spots:
    """Every line of the three files in which the tool sees an error."""
    tool: Callable[[list[Path], Path], Spots] = request.param
    scratch = tmp_path_factory.mktemp("typing")
    (scratch / "planted.py").write_text(PLANTED)
    return tool([HERE / "accepted.py", HERE / "refused.py", scratch / "planted.py"], scratch)


def test_the_right_calls_are_accepted(reported: Spots) -> None:
    assert of("accepted.py", reported) == set()


def test_exactly_the_wrong_calls_are_refused(reported: Spots) -> None:
    marked = marks((HERE / "refused.py").read_text("utf-8"))
    assert len(marked) > 30
    assert of("refused.py", reported) == marked


def test_a_wrong_mark_would_be_noticed(reported: Spots) -> None:
    assert (of("planted.py", reported), marks(PLANTED)) == ({1}, {2})


def of(name: str, spots: Spots) -> set[int]:
    return {line for file, line in spots if file == name}


def marks(text: str) -> set[int]:
    return {number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# error")}


def run(*command: str | Path) -> str:
    """What the tool printed; exit codes above 1 mean that it did not check anything."""
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert answer.returncode in (0, 1), f"{answer.stdout}\n{answer.stderr}"
    return answer.stdout

"""Run the unit, typing and SQLite contract tests on every supported Python of this machine that really starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
TESTS = [folder for folder in ("tests/unit", "tests/typing", "asyncdq/testing/suite") if (ROOT / folder).is_dir()]

OUTSIDE_CI = {name: value for name, value in os.environ.items() if name != "CI"}
"""Where CI is set, all drivers would be tested: one Python does that."""


def main() -> int:
    """Test each version in an environment of its own; 0 only if at least one ran and all that ran passed."""
    results = {version: test(version) for version in VERSIONS}
    print("\n" + "\n".join(f"Python {version}: {result}" for version, result in results.items()))
    return 0 if {"passed"} <= set(results.values()) <= {"passed", "not found"} else 1


def test(version: str) -> str:
    """How the tests went on this version, in a word or two."""
    python = next((path for path in candidates(version) if starts(path, version)), None)
    if python is None:
        return "not found"
    print(f"\nPython {version}: {python}", flush=True)
    folder = ROOT / ".venvs" / version
    make: list[str | Path] = [python, ROOT / "scripts" / "environment.py", folder, "dev"]
    pytest: list[str | Path] = [folder / "bin" / "python", "-m", "pytest", "--drivers=sqlite", *TESTS]
    if subprocess.run(make, cwd=ROOT).returncode:
        return "no environment"
    return "passed" if subprocess.run(pytest, cwd=ROOT, env=OUTSIDE_CI).returncode == 0 else "failed"


def candidates(version: str) -> Iterator[Path]:
    """Where an interpreter of this version may be: on PATH, then among pyenv's."""
    for name in os.get_exec_path():
        yield Path(name, f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for folder in sorted(pyenv.glob(f"versions/{version}*"), reverse=True):
        yield folder / "bin" / f"python{version}"


def starts(python: Path, version: str) -> bool:
    """Whether it runs and is what its name says: pyenv's shims exist for versions that are not active."""
    code = "import ensurepip, venv, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main())

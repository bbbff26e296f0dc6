"""Make sure that a virtual environment holds asyncdq and its dependencies: environment.py FOLDER [EXTRA].

A key in the folder says what it was made from: the interpreter, the place of the checkout and the
dependencies in pyproject.toml. While that is unchanged, nothing is done.
"""

import hashlib
import importlib.util
import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(folder: Path, extra: str) -> None:
    """Create or renew the environment in `folder` unless it is as it should be."""
    stop_unless_able()
    key = wanted()
    if current(folder, extra, key):
        return
    print(f"{folder}: Python {platform.python_version()}, asyncdq{extra and f'[{extra}]'} ...", flush=True)
    if not starts(folder):
        run(sys.executable, "-m", "venv", "--clear", folder)
    pip = (python_of(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--editable", f"{ROOT}[{extra}]" if extra else ROOT)
    for held in {"", extra}:  # what has the extra has the rest too
        stamp(folder, held).write_text(key)


def stop_unless_able() -> None:
    """Exit with a sentence that says what to install, if this Python cannot do it."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this may have an older one
        sys.exit(
            f"asyncdq needs Python 3.11 or newer; {sys.executable} is {platform.python_version()}: make PYTHON=..."
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        sys.exit(f"{sys.executable} has no venv module: apt-get install python3-venv, or make PYTHON=...")


def wanted() -> str:
    """What the environment has to be made from, as one line."""
    import tomllib  # Python 3.11 has it: not before that has been checked

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needs = json.dumps([settings["build-system"], settings["project"]], sort_keys=True)
    return f"{platform.python_version()} {ROOT} {hashlib.sha256(needs.encode()).hexdigest()}"


def current(folder: Path, extra: str, key: str) -> bool:
    """Whether the environment was made from `key`, wholly."""
    return stamp(folder, extra).is_file() and stamp(folder, extra).read_text() == key and python_of(folder).exists()


def starts(folder: Path) -> bool:
    """Whether the folder holds an environment of this very Python that works."""
    code = "import pip, platform, sys; print(platform.python_version(), sys.prefix != sys.base_prefix)"
    try:
        answer = subprocess.run([python_of(folder), "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return answer.stdout.split() == [platform.python_version(), "True"]


def stamp(folder: Path, extra: str) -> Path:
    """Where the key is kept; written last, so that an interrupted installation is done again."""
    return folder / f".made-{extra or 'plain'}"


def python_of(folder: Path) -> Path:
    """The environment's interpreter."""
    return folder / "bin" / "python"


def run(*command: "str | Path") -> None:
    """Run it; exit as it did if it failed."""
    answer = subprocess.run(command, stdin=subprocess.DEVNULL)
    if answer.returncode:
        sys.exit(answer.returncode)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")

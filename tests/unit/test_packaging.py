"""The wheel: what is in it, and that it works where there is no checkout."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import asyncdq

ROOT = Path(__file__).resolve().parents[2]

EXTRAS = {
    "redis": {"redis[hiredis]>=7"},
    "postgres": {"asyncpg>=0.30"},
    "mysql": {"aiomysql>=0.3.2", "pymysql<1.3,>=1.1"},
    "rabbitmq": {"aio-pika>=9.5"},
    "sqs": {"aioboto3>=15"},
    "uvloop": {"uvloop>=0.21"},
}
EXTRAS["all"] = set().union(*EXTRAS.values())
EXTRAS["testing"] = {"pytest>=8.3", "pytest-asyncio>=1.1", "pytest-timeout>=2.3", "hypothesis>=6.100", "psutil>=6"}

SCRIPT = """
import asyncio
from asyncdq import Client, Worker, task

done = []

@task
async def remember(word: str) -> None:
    done.append(word)

async def main():
    async with Client.from_url("sqlite://queue.db"):
        await remember.enqueue("worked")
    await Worker("sqlite://queue.db", burst=True).start()

asyncio.run(main())
print(*done)
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("asyncdq-*.whl"))


@pytest.fixture(scope="session")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and nothing of the checkout; our dependencies come from the current one.

    A folder named in a .pth file is only searched: an editable asyncdq in it stays without effect.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, symlinks=True)
    run(
        sys.executable, "-m", "pip", "--python", python(folder), "install", "--no-deps", "--no-index", wheel, cwd=folder
    )
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "asyncdq").rglob("*") if path.is_file()}
    source = {name for name in package if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == source
    assert "asyncdq/py.typed" in packed


def test_the_wheel_carries_its_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())


def test_the_extras_are_exactly_these(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == {*EXTRAS, "dev"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_its_packages(metadata: Message, extra: str) -> None:
    needs = [need.replace('"', "'") for need in metadata.get_all("Requires-Dist", [])]
    brought = {need.split(";")[0].strip() for need in needs if re.search(rf"extra == '{extra}'$", need)}
    assert brought == EXTRAS[extra]


def test_python_3_11_is_the_oldest(metadata: Message) -> None:
    assert metadata["Requires-Python"] == ">=3.11"


@pytest.mark.parametrize("command", [["bin/asyncdq"], ["bin/python", "-m", "asyncdq"]])
def test_the_installed_command_tells_its_version(elsewhere: Path, command: list[str]) -> None:
    told = run(elsewhere / command[0], *command[1:], "--version", cwd=elsewhere)
    assert re.search(rf"\b{re.escape(asyncdq.__version__)}\b", told)


def test_the_installed_package_is_the_one_of_the_wheel(elsewhere: Path) -> None:
    assert run(python(elsewhere), "-c", "import asyncdq; print(asyncdq.__file__)", cwd=elsewhere).startswith(
        str(elsewhere)
    )


def test_a_task_is_enqueued_and_run_outside_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    assert run(python(elsewhere), "script.py", cwd=tmp_path).splitlines()[-1] == "worked"
    assert (tmp_path / "queue.db").exists()


def python(folder: Path) -> Path:
    return folder / "bin" / "python"


def run(*command: str | Path, cwd: Path) -> str:
    """What the command printed; a failure is shown with all that it said."""
    answer = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout

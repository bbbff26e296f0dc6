"""The folders of private servers, and the sweep of those whose session is no more.

A folder's name says who owns it: KIND.PID.BIRTH.RANDOM, so there is no moment in which it has no owner.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from .kind import Kind

ENOUGH = 2 << 30
"""Free bytes that a file system in memory must have to be used."""


def _place() -> Path:
    """$TMPDIR if that is set, else memory: there, starting and removing a server takes a tenth of the time.

    To kill -9 it is all the same: what a killed process wrote is kept by the system, on any file system.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ENOUGH
    return memory if roomy and "TMPDIR" not in os.environ else Path(tempfile.gettempdir())


BASE = _place() / f"asyncdq-servers-{os.getuid()}"


def claim(kind: str) -> Path:
    """A new folder of this process; other users may pass through it, for servers that run as one of them."""
    BASE.mkdir(mode=0o711, exist_ok=True)
    if BASE.is_symlink() or BASE.stat().st_uid != os.getuid():
        raise PermissionError(f"{BASE} is not ours: remove it, or set TMPDIR to another folder")
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}.{os.getpid()}.{_birth(os.getpid())}.", dir=BASE))
    folder.chmod(0o711)
    return folder


def release(folder: Path, kind: Kind) -> None:
    """Nothing of the server of this folder is left, neither processes nor files; a forked child releases nothing."""
    if _owner(folder)[0] == os.getpid():
        remove(folder, kind)


def remove(folder: Path, kind: Kind) -> None:
    """End whatever runs in this folder, and delete it."""
    for process in processes_in(folder):
        with suppress(psutil.NoSuchProcess):  # a child that ended with its parent
            process.kill()
    kind.bury(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


def sweep(kind: Kind) -> None:
    """Release the folders of this kind that belong to a process that has ended."""
    for folder in BASE.glob(f"{kind.name}.*"):
        pid, birth = _owner(folder)
        if abs(_birth(pid) - birth) > 5:  # the machine's idea of when it booted may move a little
            remove(folder, kind)


def release_all() -> None:
    """Nothing is left of any server of this process. Only for who ends: those that still run are killed."""
    for folder in BASE.glob(f"*.{os.getpid()}.*"):
        for process in processes_in(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Those that work in this folder: every server goes to its data."""
    return [
        process
        for process in psutil.process_iter(["cwd"])
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(folder)
    ]


def _owner(folder: Path) -> tuple[int, int]:
    """The process that claimed it, and when that began."""
    _, pid, birth, _ = folder.name.split(".", 3)
    return int(pid), int(birth)


def _birth(pid: int) -> int:
    """When this process began, in unix seconds; 0 if it is no more."""
    try:
        return int(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0

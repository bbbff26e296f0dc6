"""A private server from a program of this machine: a free port, a folder of its own, and it dies with us."""

from __future__ import annotations

import atexit
import grp
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from . import folder as folders
from .kind import Kind
from .ports import free_port
from .server import Server, ServerFailed, ServerUnavailable

PATIENCE = 60.0
"""Seconds that a server may take to answer or to end, also on a busy machine."""

GONE = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
"""What is left of a killed process until its parent takes notice."""


class Native(Server):
    """One process, with its children, started by us."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.durable = kind.durable
        self._port = free_port()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[psutil.Process] = []
        self.url = kind.url(self._port)

    @property
    def data(self) -> Path:
        """Where its data lie, from the first start on."""
        assert self._folder is not None, "it was never started"
        return self._folder / "data"

    @property
    def log(self) -> str:
        """What the server wrote."""
        return (self._folder / "log").read_text(errors="replace") if self._folder else ""

    def start(self) -> None:
        if self._running():
            return
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start it in the main thread: it dies with the thread that started it")
        folder = self._folder = self._folder or new_folder(self._kind)
        self._process = run(self._kind, self._kind.command(folder / "data", self._port), folder)
        self._wait_until_it_answers(self._process)

    def stop(self) -> None:
        self.resume()
        if process := self._running():
            process.send_signal(self._kind.stop_signal)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._kill()
                raise ServerFailed(f"{self._kind.name} did not stop\n{self.log[-2000:]}") from None

    def kill9(self) -> None:
        time.sleep(self._kind.maturing)  # nothing tells when it has written down what is new
        self._kill()

    def _kill(self) -> None:
        self._paused = []
        if process := self._running():
            family = freeze(process.pid)  # frozen, it cannot start another child meanwhile
            for member in family:
                member.kill()
            process.wait()
            for member in family:
                _wait_until(member, GONE)

    def pause(self) -> None:
        if process := self._running():
            self._paused = freeze(process.pid)

    def resume(self) -> None:
        for member in reversed(self._paused):
            with suppress(psutil.NoSuchProcess):  # a child that ended just before the pause
                member.resume()
        self._paused = []

    def empty(self) -> None:
        self._kind.empty(self.url)

    def close(self) -> None:
        if self._folder:
            self._kill()
            folders.release(self._folder, self._kind)
            self._folder = None

    def _running(self) -> subprocess.Popen[bytes] | None:
        return self._process if self._process and self._process.poll() is None else None

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError):
                if self._kind.answers(self._port):
                    return
            time.sleep(0.01)  # between two looks: a server says nowhere that it is ready
        how = f"ended with {process.poll()}" if process.poll() is not None else f"did not answer within {PATIENCE} s"
        self._kill()
        raise ServerFailed(f"{self._kind.name} {how}\n{self.log[-2000:]}")


def new_folder(kind: Kind) -> Path:
    """A folder with `data`, ready to be started on."""
    folders.sweep(kind)
    folder = folders.claim(kind.name)
    if kind.preparation(folder):
        subprocess.run(["cp", "-a", prepared(kind) / "data", folder / "data"], check=True)
    else:
        (folder / "data").mkdir(mode=0o700)
    return folder


@cache
def prepared(kind: Kind) -> Path:
    """A folder whose data were prepared once, to be copied: that takes a tenth of the time."""
    folder = folders.claim(kind.name)
    atexit.register(folders.release, folder, kind)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if user := kind.user():
        shutil.chown(data, user)
    for command in kind.preparation(data):
        if run(kind, command, folder).wait():
            log = (folder / "log").read_text(errors="replace")
            raise ServerFailed(f"{command[0]} failed\n{log[-2000:]}")
    return folder


def run(kind: Kind, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Run a program of this kind in its data folder; it dies with us, and writes to the log beside its data."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*bound_to_us(kind.user()), *command],
            cwd=folder / "data",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # ctrl-C is for the tests, which then stop the server in order
        )


def bound_to_us(user: str | None) -> list[str]:
    """What to put before a command so that it dies with this process, and runs as `user`."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if user:
            raise ServerUnavailable("to start this server as root, setpriv is needed: apt-get install util-linux")
        return []  # not Linux: only the sweep of a later session finds what a killed one left
    bound = [setpriv, "--pdeathsig", "SIGKILL"]
    if user:
        group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
        bound += [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return [*bound, "--"]


def freeze(pid: int) -> list[psutil.Process]:
    """Stop this process and all its children, and return them when they stand still: the first one first."""
    first = psutil.Process(pid)
    _halt(first)
    family = [first, *first.children(recursive=True)]
    for member in family[1:]:
        _halt(member)
    return family


def _halt(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # a child that has just ended
        process.send_signal(signal.SIGSTOP)
    _wait_until(process, {*GONE, psutil.STATUS_STOPPED})


def _wait_until(process: psutil.Process, states: set[str]) -> None:
    """Return when it is in one of these states, or is no more."""
    with suppress(psutil.NoSuchProcess):
        while process.status() not in states:
            time.sleep(0.001)  # between two looks: the signal is on its way

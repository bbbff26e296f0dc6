"""What the tests of the process pool run in its processes."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from asyncdq import context
from asyncdq.message import Call


class Stubborn:
    """Can be written, but not read."""

    def __reduce__(self) -> tuple[type[ZeroDivisionError], tuple[()]]:
        return _Unreadable, ()


class _Unreadable(ZeroDivisionError):
    def __init__(self) -> None:
        raise ZeroDivisionError("this argument cannot be read")


class Wrapped:
    """Stands in for what a decorator makes of a function."""

    def __init__(self, name: str) -> None:
        self.function = write_pid
        self.name = name


def nothing() -> None: ...


def write_pid(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


wrapped = Wrapped("wrapped")


async def write_task_name(path: str) -> None:
    await asyncio.to_thread(Path(path).write_text, context.current_task().name)


def write_fitted(path: Path) -> None:
    path.write_text("fitted")


def fail() -> None:
    raise ValueError("as it was told")


def leave() -> None:
    sys.exit(3)


def die() -> None:
    os._exit(3)


def crash() -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def wait_for(go: str, running: str) -> None:
    write_pid(running)
    while not os.path.exists(go):
        time.sleep(0.005)  # in another process: the file is all that it hears


def count(data: bytes, path: str) -> None:
    Path(path).write_text(str(len(data)))


def set_default_timeout(seconds: float) -> None:
    socket.setdefaulttimeout(seconds)


def spin() -> None:
    while True:
        pass


def spin_in_c(path: str) -> None:
    write_pid(path)
    ctypes.PyDLL(None).sleep(600)  # holds the GIL: no Python code can run in this process


def start_and_spin(path: str) -> None:
    process = subprocess.Popen(["sleep", "600"])
    with open(path, "w") as file:
        file.write(f"{process.pid}\n")
    spin()


def fork_and_die() -> None:
    if os.fork() == 0:
        os.setpgid(0, 0)
        signal.alarm(20)
        signal.pause()
    os._exit(4)


def fork_and_return() -> None:
    if os.fork() == 0:
        sys.exit("the copy ends")
    os.wait()


def signal_own_group() -> None:
    os.killpg(0, signal.SIGINT)
    os.killpg(0, signal.SIGTERM)


def start_a_program_and_terminate_it() -> None:
    process = subprocess.Popen(["sleep", "600"])
    process.terminate()
    assert process.wait() == -signal.SIGTERM


def speak() -> None:
    print("from the task")


def write_at_exit(path: str) -> None:
    atexit.register(write_pid, path)


def enqueue(*names: str) -> None:
    stored = context.sender.get().send_sync([Call(name, (), {}) for name in names])
    assert [enqueued.id for enqueued in stored] == list(names)


def enqueue_until_an_alarm(name: str, rung: str, go: str, *others: str) -> None:
    """Then say so in `rung`, wait for a `go`, and enqueue the others."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with suppress(Alarm):
        enqueue(name)
    signal.setitimer(signal.ITIMER_REAL, 0)
    write_pid(rung)
    while not Path(go).exists():
        time.sleep(0.01)  # between two looks
    for other in others:
        enqueue(other)


class Alarm(Exception):
    """A task has waited long enough."""


def _ring(number: int, frame: object) -> None:
    raise Alarm


def enqueue_bytes(data: bytes) -> None:
    context.sender.get().send_sync([Call("bytes", (data,), {})])


def enqueue_what_does_not_pickle() -> None:
    context.sender.get().send_sync([Call("lambda", (lambda: None,), {})])


async def enqueue_many(count: int) -> None:
    async def one(number: int) -> None:
        (stored,) = await context.sender.get().send([Call(str(number), (), {})])
        assert stored.id == str(number)

    await asyncio.gather(*(one(number) for number in range(count)))

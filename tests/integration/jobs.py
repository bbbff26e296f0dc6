"""The tasks of the integration tests, as a user's module holds them. Each notes its executions in the ledger."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import logging
import os
import time
from contextlib import AbstractContextManager
from functools import cache

from asyncdq import Reject, Retry, Snooze, current_task, task

from .ledger import VARIABLE, Ledger

_ledger = cache(Ledger)


def execution(said: str = "") -> AbstractContextManager[None]:
    current = current_task()
    return _ledger(os.environ[VARIABLE]).execution(current.id, current.attempt, said)


def _described() -> str:
    current = current_task()
    return f"{current.name.rpartition('.')[2]} {current.queue} {current.attempt}/{current.max_attempts}"


def _opened(gate: str) -> bool:
    """A test opens a gate for everybody, or for one process."""
    return os.path.exists(gate) or os.path.exists(f"{gate}.{os.getpid()}")


# What returns, sooner or later.


@task
async def mark(said: str = "") -> None:
    with execution(said):
        pass


@task
def mark_in_thread(said: str = "") -> None:
    with execution(said):
        pass


@task(process=True)
def mark_in_process(said: str = "") -> None:
    with execution(said):
        pass


@task(max_attempts=2, retry_delay=0)
async def digest(payload: bytes) -> None:
    """Notes what it was given, and wants to be given it once more."""
    with execution(hashlib.sha256(payload).hexdigest()):
        if current_task().attempt == 1:
            raise ValueError("once more")


@task
async def linger(seconds: float) -> None:
    with execution():
        await asyncio.sleep(seconds)  # the work of this task


@task
async def hold(gate: str) -> None:
    with execution():
        while not _opened(gate):  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(0.01)  # between two looks


@task
def hold_in_thread(gate: str) -> None:
    with execution():
        while not _opened(gate):
            time.sleep(0.01)  # between two looks


@task(process=True)
def hold_in_process(gate: str) -> None:
    with execution():
        while not _opened(gate):
            time.sleep(0.01)  # between two looks


@task
async def refuse_to_end(gate: str) -> None:
    with execution():
        while not _opened(gate):
            try:
                await asyncio.sleep(0.01)  # between two looks
            except asyncio.CancelledError:
                continue


@task
async def block(seconds: float) -> None:
    with execution():
        time.sleep(seconds)  # noqa: ASYNC251 - blocks the event loop: what the test is about


# What says who it is.


@task(max_attempts=7)
async def describe() -> None:
    with execution(_described()):
        pass


@task(max_attempts=7)
def describe_in_thread() -> None:
    with execution(_described()):
        pass


@task(max_attempts=7, process=True)
def describe_in_process() -> None:
    with execution(_described()):
        pass


@task(process=True)
def speak() -> None:
    print("from the process")


# What kills whoever runs it.


@task(max_attempts=3)
async def exit_at_once() -> None:
    with execution():
        os._exit(1)


@task(max_attempts=3)
async def crash() -> None:
    with execution():
        ctypes.string_at(0)


@task(max_attempts=3, retry_delay=0, process=True)
def exit_at_once_in_process() -> None:
    with execution():
        os._exit(1)


@task(max_attempts=3, retry_delay=0, process=True)
def crash_in_process() -> None:
    with execution():
        ctypes.string_at(0)


# What fails.


@task(max_attempts=1)
async def fail() -> None:
    with execution():
        raise ValueError("as it was told")


@task(max_attempts=1)
async def fail_unspeakably() -> None:
    with execution():
        raise ValueError("NUL \0, lone surrogates \ud800 and \udfff")


@task(max_attempts=3, retry_delay=0)
async def fail_until(attempt: int) -> None:
    with execution():
        if current_task().attempt < attempt:
            raise ValueError("not yet")


@task(max_attempts=2, retry_delay=0)
def fail_once_in_thread() -> None:
    with execution():
        if current_task().attempt == 1:
            raise ValueError("not yet")


@task(max_attempts=2, retry_delay=0, process=True)
def fail_once_in_process() -> None:
    with execution():
        if current_task().attempt == 1:
            raise ValueError("not yet")


@task(max_attempts=1)
async def fail_with(text: str) -> None:
    with execution():
        raise ValueError(text)


@task(max_attempts=3)
async def retry_until(attempt: int) -> None:
    with execution():
        if current_task().attempt < attempt:
            raise Retry("not yet", delay=0)


@task(max_attempts=1)
async def snooze_until(gate: str) -> None:
    with execution():
        if not _opened(gate):
            os.close(os.open(gate, os.O_CREAT))
            raise Snooze(0.05)


@task(max_attempts=3)
async def reject() -> None:
    with execution():
        raise Reject("never")


@task(max_attempts=3, give_up_on=KeyError)
async def give_up() -> None:
    with execution():
        raise KeyError("given up on")


@task(max_attempts=3, retry_on=KeyError)
async def fail_otherwise() -> None:
    with execution():
        raise ValueError("not one of retry_on")


# What enqueues.


@task
async def enqueue(depth: int) -> None:
    with execution():
        if depth > 1:
            await enqueue.enqueue(depth - 1)


@task
def enqueue_in_thread() -> None:
    with execution():
        mark.enqueue_sync("from a thread")


@task(process=True)
def enqueue_in_process() -> None:
    with execution():
        mark.enqueue_sync("from a process")


@task(process=True)
async def enqueue_in_process_loop() -> None:
    with execution():
        await mark.enqueue("from the loop of a process")


@task
async def enqueue_sync_in_loop() -> None:
    with execution():
        mark.enqueue_sync()


@task
async def mark_and_enqueue(said: str, queue: str, more: str) -> None:
    with execution(said):
        await mark.using(queue=queue).enqueue(more)


@task
async def hold_and_enqueue(gate: str, said: str) -> None:
    with execution():
        while not _opened(gate):  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(0.01)  # between two looks
        await mark.enqueue(said)


@task(max_attempts=1)
async def exit_python() -> None:
    with execution():
        raise SystemExit(3)


@task(max_attempts=1)
def exit_python_in_thread() -> None:
    with execution():
        raise SystemExit(3)


@task(max_attempts=1, process=True)
def exit_python_in_process() -> None:
    with execution():
        raise SystemExit(3)


@task(max_attempts=1)
async def interrupt() -> None:
    with execution():
        raise KeyboardInterrupt


@task(max_attempts=1)
async def cancel_itself() -> None:
    with execution():
        job = asyncio.current_task()
        assert job is not None
        job.cancel()
        await asyncio.sleep(600)  # cancelled at once


@task
async def log_in_loop(text: str) -> None:
    """Say this through the logging module."""
    logging.getLogger("jobs").info(text)


@task
def log_in_thread(text: str) -> None:
    """Say this through the logging module."""
    logging.getLogger("jobs").info(text)


@task(process=True)
def log_in_process(text: str) -> None:
    """Say this through the logging module."""
    logging.getLogger("jobs").info(text)

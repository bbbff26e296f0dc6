"""A worker inside an application: whose SIGTERM and SIGINT it is, and what is there when the worker has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import asyncio, os, signal, sys, threading
from signal import SIGINT, SIGTERM
from asyncdq import Client, Worker, task

URL = "sqlite://:memory:"
heard = []

def kill(number=SIGTERM):
    os.kill(os.getpid(), number)

def handlers():
    return [signal.getsignal(number) for number in (SIGINT, SIGTERM)]

async def begun(worker, **options):
    working = asyncio.create_task(worker.start(**options))
    await asyncio.sleep(0)  # its first step decides about the signals
    return working

async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)  # between two looks
"""

TAIL = """
def run(main):
    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())

run(main)
"""

ROOT = Path(__file__).resolve().parents[2]

on_both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


def script(text: str, loop: str = "asyncio", *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of an application."""
    command = [sys.executable, "-c", HEAD + text + ("" if "run(main)" in text else TAIL), loop, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout, ended.stderr


@on_both_loops
@pytest.mark.parametrize("setting", ["asyncio.get_running_loop().add_signal_handler", "signal.signal"])
def test_a_handler_of_the_application_outlives_a_worker(setting: str, loop: str) -> None:
    text = f"""
async def main():
    {setting}(SIGTERM, lambda *_: heard.append("the application"))
    await Worker(URL, burst=True).start()
    kill()
    await until(lambda: heard)
    print(heard[0])
"""
    assert script(text, loop) == (0, "the application\n", "")


@on_both_loops
@pytest.mark.parametrize("setting", ["asyncio.get_running_loop().add_signal_handler", "signal.signal"])
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_an_application_that_handles_a_signal_stops_its_worker_itself(number: str, setting: str, loop: str) -> None:
    text = f"""
async def main():
    {setting}({number}, lambda *_: heard.append("the application"))
    worker = Worker(URL)
    working = await begun(worker)
    kill({number})
    await until(lambda: heard)
    await asyncio.sleep(0.05)  # it should not end
    print(heard, working.done())
    worker.stop()
    await working
"""
    assert script(text, loop) == (0, "['the application'] False\n", "")


@on_both_loops
@pytest.mark.parametrize("wanted", ["None", "True", "False"])
@pytest.mark.parametrize("before", ["", "signal.signal(SIGTERM, print); signal.signal(SIGINT, signal.SIG_IGN)"])
def test_what_handled_signals_before_a_worker_does_so_after_it(before: str, wanted: str, loop: str) -> None:
    text = f"""
async def main():
    {before}
    before = handlers()
    await Worker(URL, burst=True).start(handle_signals={wanted})
    print(handlers() == before)
"""
    assert script(text, loop) == (0, "True\n", "")


@on_both_loops
def test_ctrl_c_after_a_worker_cancels_what_asyncio_runs(loop: str) -> None:
    text = """
async def main():
    await Worker(URL, burst=True).start()
    try:
        kill(SIGINT)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled")
        raise
"""
    code, output, errors = script(text, loop)
    assert (code, output) == (-2, "cancelled\n")
    assert errors.endswith("KeyboardInterrupt\n")


HELD = """
import logging

class Ear(logging.Handler):
    def emit(self, record):
        heard.append(record.getMessage().split(" ")[1])

logging.getLogger("asyncdq.worker").addHandler(Ear(logging.WARNING))

@task(name="held")
async def held():
    heard.append("begins")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if sys.argv[-1] == "deaf":
                heard.append("deaf")
            else:
                raise

async def main():
    async with Client(URL) as client:
        await client.enqueue(held)
        working = await begun(Worker(client.driver))
        for number, awaited in (sys.argv[2], "begins"), (sys.argv[3], "finishing"), ("SIGTERM", "deaf"):
            await until(lambda: awaited in heard or working.done())
            if not working.done():
                kill(getattr(signal, number))
        await working
        print(heard, (await client.driver.stats("default")).ready)
"""


@on_both_loops
def test_signals_that_nobody_handles_drain_hurry_and_end_as_on_the_command_line(loop: str) -> None:
    ended = script(HELD, loop, "SIGINT", "SIGTERM")
    assert ended == (0, "['begins', 'finishing', 'cancelling'] 1\n", "")
    assert script(HELD, loop, "SIGTERM", "SIGINT", "deaf") == (128 + 15, "", "")


@on_both_loops
def test_one_signal_stops_all_workers_of_a_process(loop: str) -> None:
    text = """
async def main():
    before = handlers()
    workers = [await begun(Worker(URL), handle_signals=wanted) for wanted in (None, None, True)]
    burst = await begun(Worker(URL, burst=True))
    await burst  # the others hear the signal all the same
    kill()
    await asyncio.gather(*workers)
    print(handlers() == before)
"""
    code, output, errors = script(text, loop)
    assert (code, output, errors.count("SIGTERM: finishing")) == (0, "True\n", 3)


@on_both_loops
@pytest.mark.parametrize("setting", ["asyncio.get_running_loop().add_signal_handler", "signal.signal"])
def test_a_handler_that_is_set_while_a_worker_runs_is_left_alone(setting: str, loop: str) -> None:
    text = f"""
async def main():
    worker = Worker(URL)
    working = await begun(worker)
    {setting}(SIGTERM, lambda *_: heard.append("the application"))
    kill()
    await until(lambda: heard)
    await asyncio.sleep(0.05)  # the worker should not end
    print(working.done())
    worker.stop()
    await working
    kill()
    await until(lambda: len(heard) == 2)
    print(heard)
"""
    assert script(text, loop) == (0, "False\n['the application', 'the application']\n", "")


@on_both_loops
@pytest.mark.parametrize(("wanted", "passes_on"), [("None", True), ("True", False)])
def test_a_later_handler_that_passes_on_or_a_firm_wish_lets_the_worker_hear(
    wanted: str, passes_on: bool, loop: str
) -> None:
    text = f"""
async def main():
    working = await begun(Worker(URL), handle_signals={wanted})
    before = signal.getsignal(SIGTERM)
    def later(number, frame):
        heard.append("the application")
        if {passes_on}:
            before(number, frame)
    signal.signal(SIGTERM, later)
    kill()
    await working
    print(heard, signal.getsignal(SIGTERM) is later)
"""
    code, output, errors = script(text, loop)
    assert (code, output, errors.count("SIGTERM: finishing")) == (0, "['the application'] True\n", 1)


@on_both_loops
def test_a_handler_that_is_put_back_after_its_worker_has_ended_leaves_the_signal_to_who_had_it(loop: str) -> None:
    text = """
async def main():
    worker = Worker(URL)
    working = await begun(worker)
    before = signal.signal(SIGTERM, lambda *_: None)  # as a server does that starts later, and ends later
    worker.stop()
    await working
    signal.signal(SIGTERM, before)
    kill()
    await asyncio.Event().wait()
"""
    assert script(text, loop) == (-15, "", "")


@on_both_loops
def test_a_worker_that_takes_over_a_handler_of_the_event_loop_leaves_the_default(loop: str) -> None:
    text = """
async def main():
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, print, "the application")
    working = await begun(Worker(URL), handle_signals=True)
    kill()
    await working
    print(handlers() == [signal.default_int_handler, signal.SIG_DFL])
"""
    code, output, errors = script(text, loop)
    assert (code, output, errors.count("SIGTERM: finishing")) == (0, "True\n", 1)


@on_both_loops
def test_a_worker_that_ends_with_its_event_loop_leaves_no_handler(loop: str) -> None:
    text = (
        """
async def main():
    await begun(Worker(URL))
"""
        + TAIL
        + "print(handlers() == [signal.default_int_handler, signal.SIG_DFL])"
    )
    assert script(text, loop) == (0, "True\n", "")


@on_both_loops
def test_a_worker_outside_of_the_main_thread_leaves_signals_alone(loop: str) -> None:
    text = """
async def work():
    worker = Worker(URL)
    working = await begun(worker)
    heard.append(worker)
    await working

async def main():
    before = handlers()
    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, work()))
    await until(lambda: heard)
    print(handlers() == before)
    heard[0].stop()
    await thread
"""
    assert script(text, loop) == (0, "True\n", "")


FORKED = """
import multiprocessing

def child(pipe):
    async def work():
        working = await begun(Worker(URL))
        pipe.send("begun")
        await working
    asyncio.run(work())

async def main():
    working = await begun(worker := Worker(URL))
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=[theirs])
    process.start()
    await asyncio.to_thread(ours.recv)
    os.kill(process.pid, SIGTERM)
    await asyncio.to_thread(process.join)
    print(process.exitcode, working.done())
    worker.stop()
    await working
"""


def test_a_signal_to_a_forked_child_is_that_of_its_own_worker() -> None:
    code, output, errors = script(FORKED)
    assert (code, output) == (0, "0 False\n"), errors

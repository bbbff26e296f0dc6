"""How a run ends before its time: on Ctrl-C or SIGTERM, with nothing of it left."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

from .folder import release_all


def told_to_end(work: Callable[[], int]) -> int:
    """The exit code of the work; 128 + n if signal n ended it. The first signal ends it in order, and servers,
    workers and folders are gone when this returns, also if a second one broke the end off."""
    told: list[int] = []
    with _listening(told):
        try:
            return work()
        except KeyboardInterrupt:
            number = told[0] if told else signal.SIGINT
            print(f"ended by {signal.Signals(number).name}", flush=True)
            return 128 + number
        finally:
            _sweep()


@contextmanager
def _listening(told: list[int]) -> Iterator[None]:
    """Both signals become what Python makes of Ctrl-C; SIGTERM is noted in `told`."""

    def interrupt(number: int, _: FrameType | None) -> None:
        told.append(number)
        signal.raise_signal(signal.SIGINT)

    # In the background of a script SIGINT is ignored, and Python leaves it so. An event loop that is run takes
    # SIGINT over only from Python's own handler.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sweep() -> None:
    """Nothing of ours runs, and no server of ours has a folder; whoever is impatient waits for that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended with its parent
            child.kill()
    release_all()

"""Who handles SIGTERM and SIGINT while a worker runs: the worker, unless the application does."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from ..errors import ConfigurationError

SIGNALS = (signal.SIGTERM, signal.SIGINT)

Hear = Callable[[signal.Signals], None]
Installed = Callable[[int, FrameType | None], Any] | int | None


@contextmanager
def handled(hear: Hear, wanted: bool | None) -> Generator[None]:
    """Meanwhile `hear` is called in this event loop for each SIGTERM and SIGINT; then all is as it was before.

    wanted  True: whoever handles it now; None: where nobody does, and until somebody else does; False: never

    Raises ConfigurationError if it is True outside of the main thread, which alone can handle signals.
    """
    here = threading.current_thread() is threading.main_thread()
    if wanted and not here:
        raise ConfigurationError("only the main thread can handle signals: use start(handle_signals=False) here")
    with ExitStack() as stack:
        for number in SIGNALS if here and wanted is not False else ():
            if wanted or _nobody_handles(number):
                handler = _handler_of(number)
                handler.hearers[hear] = bool(wanted)
                stack.callback(handler.leave, hear)
        yield


class _Handler:
    """Python's handler of one signal while workers in this event loop want it; several of them share one.

    It is the event loop that hears the signal, wakes, and passes it on. That Python's handler is this object, and not
    what the event loop has put there, shows whether somebody else has set one meanwhile, in either way.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.loop = asyncio.get_running_loop()
        self.hearers: dict[Hear, bool] = {}  # whether it hears the signal although somebody else handles it by now
        self._number = number
        self._called = False
        before = signal.getsignal(number)
        self.loop.add_signal_handler(number, self._on_signal)
        self._loops_own = signal.getsignal(number)
        # What an event loop called, or what was not set in Python, cannot be read, and so not be put back.
        self._before = _default(number) if before is None or before == self._loops_own else before
        signal.signal(number, self)
        signal.siginterrupt(number, False)  # as the event loop had it

    @property
    def in_force(self) -> bool:
        return signal.getsignal(self._number) is self

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._called = True  # by Python, or by a handler that was set later and passes on what it hears
        if not self.hearers:  # somebody has put it back who had found it here
            signal.signal(number, self._earlier())
            signal.raise_signal(number)

    def _on_signal(self) -> None:
        ours, self._called = self._called or self.in_force, False
        for hear, anyhow in [*self.hearers.items()]:
            if ours or anyhow:
                hear(self._number)

    def leave(self, hear: Hear) -> None:
        """The last one that leaves puts back what was there before, unless somebody else has set a handler."""
        del self.hearers[hear]
        if self.hearers or _handlers.get(self._number) is not self:
            return
        del _handlers[self._number]
        now = signal.getsignal(self._number)
        if now != self._loops_own:  # else somebody has asked the event loop to call something else instead
            then = self._earlier() if self.in_force else now
            self.loop.remove_signal_handler(self._number)
            signal.signal(self._number, then)

    def put_back(self) -> None:
        """In a forked child, leave the signal to whoever had it before."""
        if self.in_force:
            signal.signal(self._number, _default(self._number) if _of_runner(self._before) else self._before)

    def _earlier(self) -> Installed:
        """What was there before; not the handler of an `asyncio.run` that is over, as when it ends this worker last."""
        run = _of_runner(self._before)
        over = run is not None and any(_has_ended(value) for value in run.values())
        return _default(self._number) if over else self._before


_handlers: dict[signal.Signals, _Handler] = {}


def _handler_of(number: signal.Signals) -> _Handler:
    if not _is_ours(number):
        _handlers[number] = _Handler(number)
    return _handlers[number]


def _is_ours(number: signal.Signals) -> bool:
    """Whether another worker in this event loop handles it."""
    handler = _handlers.get(number)
    return handler is not None and handler.in_force and handler.loop is asyncio.get_running_loop()


def _nobody_handles(number: signal.Signals) -> bool:
    now = signal.getsignal(number)
    return now in (signal.SIG_DFL, signal.default_int_handler) or _of_runner(now) is not None or _is_ours(number)


def _default(number: signal.Signals) -> Installed:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


def _of_runner(handler: Installed) -> Mapping[str, object] | None:
    """The arguments of the handler with which `asyncio.run` lets SIGINT cancel what it runs, if it is that one."""
    runner = getattr(getattr(handler, "func", None), "__self__", None)  # it is a `partial` of a method of its Runner
    keywords: Mapping[str, object] = getattr(handler, "keywords", {})
    return keywords if isinstance(runner, asyncio.Runner) else None


def _has_ended(value: object) -> bool:
    return isinstance(value, asyncio.Task) and value.done()


def _forget() -> None:
    """In a forked child: the event loops are the parent's, and what Python hears of signals would wake those."""
    for handler in _handlers.values():
        handler.put_back()
    if _handlers:
        signal.set_wakeup_fd(-1)
    _handlers.clear()


os.register_at_fork(after_in_child=_forget)

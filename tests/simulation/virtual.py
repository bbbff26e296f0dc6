"""An event loop whose clock jumps to the next timer, and processes in it that can crash or freeze.

Time does not pass while code runs; when nothing is ready, it jumps to the next timer. So a task of ten
minutes costs microseconds, and a run repeats itself exactly.

A `Process` is everything that its first asyncio task has started: callbacks, timers and tasks carry the
context in which they were made, and so the process they belong to. A crash is that none of them is ever run
again; a freeze, that they are run later. Code outside every process is the world: the server, the network.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import CodeType, FrameType
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakSet

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")

MOST_TURNS = 20_000  # of the loop without time passing: more is a busy loop

_Entry = tuple["Process | None", asyncio.Handle]


class Deadlock(AssertionError):
    """Nothing will ever happen again, or nothing but idle timers; the message tells what every task waits for."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they became ready, as asyncio does, on a clock of its own.

    Raises Deadlock when nothing is left to wait for, when the clock passes `horizon` (seconds), or when the
    clock stands still while callbacks go round and round.
    """

    def __init__(self, horizon: float = 100_000.0) -> None:
        super().__init__()
        self.horizon = horizon
        self.processes: list[Process] = []
        self._now = 0.0
        self._turns = 0
        self._soon: deque[_Entry] = deque()
        self._later: list[tuple[float, int, Process | None, asyncio.TimerHandle]] = []
        self._number = itertools.count()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run this after what is ready now."""
        if context is None:
            context = contextvars.copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append((context.get(PROCESS), handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """The same: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run this when the clock says `when`."""
        if context is None:
            context = contextvars.copy_context()
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._later, (when, next(self._number), context.get(PROCESS), handle))
        return handle

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        """As usual; and the process to which the task belongs knows it."""
        made = super().create_task(coro, name=name, context=context, **options)
        process = context.get(PROCESS) if context is not None else PROCESS.get(None)
        if process is not None:
            process.tasks.add(made)
        return made

    def resume(self, entries: list[_Entry]) -> None:
        """Run callbacks that were held back."""
        self._soon.extend(entries)

    def _run_once(self) -> None:
        if not self._soon:
            self._jump()
        self._collect_due()
        self._turns += 1
        if self._turns > MOST_TURNS:
            raise Deadlock(f"the clock stands at {self._now:.6f} and the loop goes round and round\n{self._waiting()}")
        for _ in range(len(self._soon)):
            process, handle = self._soon.popleft()
            if not handle.cancelled() and (process is None or process.admits(handle)):
                handle._run()

    def _jump(self) -> None:
        while self._later and self._later[0][3].cancelled():
            heapq.heappop(self._later)
        if not self._later:
            raise Deadlock(f"nothing is ready and no timer is set at {self._now:.6f}\n{self._waiting()}")
        if self._later[0][0] > self._now:
            self._now, self._turns = self._later[0][0], 0
        if self._now > self.horizon:
            raise Deadlock(f"it is past {self.horizon:g} seconds\n{self._waiting()}")

    def _collect_due(self) -> None:
        while self._later and self._later[0][0] <= self._now:
            _, _, process, handle = heapq.heappop(self._later)
            self._soon.append((process, handle))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is passed over when its time has come."""

    def _waiting(self) -> str:
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        return "\n".join(sorted(f"  {task.get_name()}: {place(task)}" for task in tasks))


class Process:
    """What crashes or freezes as one. `crash_at` is the number of callbacks after which it does by itself."""

    def __init__(self, loop: VirtualLoop, name: str, crash_at: int | None = None) -> None:
        self.name = name
        self.dead = False
        self.died = 0.0
        self.frozen = False
        self.steps = 0
        self.crash_at = crash_at
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.on_end: Callable[[Process], None] = lambda process: None
        loop.processes.append(self)
        self._loop = loop
        self._held: list[_Entry] = []
        self._exhumed = False
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run this as the first task of the process."""
        task: asyncio.Task[T] = self._loop.create_task(coroutine, name=self.name, context=self._context)
        return task

    def do(self, action: Callable[[], object]) -> None:
        """Run this inside the process, when it runs."""
        self._loop.call_soon(action, context=self._context)

    def admits(self, handle: asyncio.Handle) -> bool:
        """Whether this callback may run now; if not, it is kept."""
        if self.dead or self.frozen:
            self._held.append((self, handle))
            return False
        self.steps += 1
        if self.crash_at is not None and self.steps >= self.crash_at:
            self._loop.call_soon(self.crash, context=contextvars.Context())
        return True

    def crash(self) -> None:
        """Stop for ever, between two callbacks, without any cleanup."""
        if not self.dead and not self._exhumed:
            self.dead = True
            self.died = self._loop.time()
            self.on_end(self)

    def freeze(self) -> None:
        """Stop for now."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on: everything that has become ready meanwhile runs now."""
        self.frozen = False
        if not self.dead:
            held, self._held = self._held, []
            self._loop.resume(held)

    def exhume(self) -> None:
        """After the last check: let what is left of it end."""
        self.dead, self.crash_at, self._exhumed = False, None, True
        self.thaw()

    @property
    def unfinished(self) -> list[str]:
        """What its tasks that have not ended wait for."""
        return [place(task) for task in self.tasks if not task.done()]


def run(main: Coroutine[Any, Any, T], horizon: float = 100_000.0) -> T:
    """Run this to its end on virtual time."""
    loop = VirtualLoop(horizon)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main)
        finally:
            for process in loop.processes:
                process.exhume()  # so that the runner can cancel what is left of it


def place(task: asyncio.Task[Any]) -> str:
    """Where the task waits, from the outside in."""
    return " > ".join(f"{code.co_qualname}:{frame.f_lineno}" for code, frame in _frames(task.get_coro()))


def _frames(awaited: Any) -> Generator[tuple[CodeType, FrameType]]:
    while awaited is not None and getattr(awaited, "cr_frame", None) is not None:
        yield awaited.cr_code, awaited.cr_frame
        awaited = awaited.cr_await

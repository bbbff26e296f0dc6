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
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, cast

from .blocking import Span, measured
from .handle import CERTAIN, Callback, Handle
from .place import place

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)

OUTSIDE = contextvars.Context()
"""The context of what belongs to no process."""

MOST_TURNS = 20_000  # of the loop without time passing: more is a busy loop


class Deadlock(AssertionError):
    """Nothing will ever happen again, or nothing but idle timers; the message tells what every task waits for."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they became ready, as asyncio does, on a clock of its own.

    Raises Deadlock when nothing is left to wait for, when the clock passes `horizon` (seconds), or when the
    clock stands still while callbacks go round and round. Threads are those of `blocking.py`.
    """

    def __init__(self, horizon: float = 100_000.0) -> None:
        # not the base's: that asks the machine for its clock and its environment, and each seed has a loop of its own
        self.horizon = horizon
        self.processes: list[Process] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.soon: deque[Callback] = deque()
        self._now = 0.0
        self._turns = 0
        self._later: list[tuple[float, int, Callback, Handle | None]] = []
        self._number = itertools.count().__next__

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    get_debug = False.__bool__
    """Never: asyncio would watch the machine's clock. Each future and task asks, so it is no function of ours."""

    def is_closed(self) -> bool:
        """As if: there is nothing to close."""
        return True

    def create_future(self) -> asyncio.Future[Any]:
        """As usual."""
        return asyncio.Future(loop=self)

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        """What nobody awaited has failed: say so."""
        logging.getLogger("asyncio").error(context["message"], exc_info=context.get("exception"))

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run this after what is ready now."""
        if context is not None:
            self.soon.append((callback, args, context))
            return CERTAIN
        made = Handle(self._now, callback, args)
        self.soon.append((made.fire, (), contextvars.copy_context()))
        return made

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """The same: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run this when the clock says `when`."""
        made = Handle(when, callback, args)
        place = contextvars.copy_context() if context is None else context
        heapq.heappush(self._later, (when, self._number(), (made.fire, (), place), made))
        return made

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run this in `delay` seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def outside(self, delay: float, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run this in `delay` seconds, outside of every process: it cannot be called off."""
        heapq.heappush(self._later, (self._now + delay, self._number(), (callback, args, OUTSIDE), None))

    def get_task_factory(self) -> None:
        """There is none."""

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        """As usual; and the process to which the task belongs knows it."""
        made = asyncio.Task(coro, loop=self, name=None if name is None else str(name), context=context, **options)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        tasks = self.tasks if process is None else process.tasks
        tasks.append(made)
        return made

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Call it in a thread that blocks for virtual seconds."""
        future: asyncio.Future[T] = self.create_future()

        def end(result: T, span: Span) -> None:
            span.note(span.how)
            if not future.done():
                future.set_result(result)

        result, span = measured(lambda: func(*args))
        self.call_later(span.seconds, end, result, span)
        return future

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Turn until this is done; its result."""
        main = asyncio.ensure_future(cast("Awaitable[T]", future), loop=self)
        asyncio._set_running_loop(self)
        try:
            self._turn_until(main)
        finally:
            asyncio._set_running_loop(None)
        return main.result()

    def finish(self) -> None:
        """Let all that is left end, the dead too."""
        self.horizon, self._turns = math.inf, 0
        for process in self.processes:
            process.exhume()
        while left := [task for task in self._all_tasks() if not task.done()]:
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        for process in self.processes:  # what refers to itself is freed late
            process.forget()
        self.processes.clear()
        self.tasks.clear()
        self._later.clear()

    def _turn_until(self, main: asyncio.Future[Any]) -> None:
        soon, later, is_over = self.soon, self._later, main.done
        while not is_over():
            if not soon:
                self._jump()
            while later and later[0][0] <= self._now:
                soon.append(heapq.heappop(later)[2])
            self._turns += 1
            if self._turns > MOST_TURNS:
                raise Deadlock(f"the clock stands at {self._now:.6f}, round and round\n{self._waiting()}")
            for _ in range(len(soon)):
                each = soon.popleft()
                action, values, place = each
                if place is OUTSIDE:
                    action(*values)  # the world's own: an error is raised
                    continue
                process = place.get(PROCESS)
                if process is not None and not process.admits(each):
                    continue
                try:
                    place.run(action, *values)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"exception in callback {action}", "exception": error})

    def _jump(self) -> None:
        """To the next timer."""
        later = self._later
        while later and (handle := later[0][3]) is not None and handle.action is None:
            heapq.heappop(later)
        if not later:
            raise Deadlock(f"nothing is ready and no timer is set at {self._now:.6f}\n{self._waiting()}")
        if later[0][0] > self._now:
            self._now, self._turns = later[0][0], 0
        if self._now > self.horizon:
            raise Deadlock(f"it is past {self.horizon:g} seconds\n{self._waiting()}")

    def _all_tasks(self) -> list[asyncio.Task[Any]]:
        return [*self.tasks, *(task for process in self.processes for task in process.tasks)]

    def _waiting(self) -> str:
        tasks = [task for task in self._all_tasks() if not task.done()]
        return "\n".join(sorted(f"  {task.get_name()}: {place(task)}" for task in tasks))


class Process:
    """What crashes or freezes as one. `crash_at` is the number of callbacks after which it does by itself."""

    def __init__(self, loop: VirtualLoop, name: str, crash_at: int | None = None) -> None:
        self.name = name
        self.dead = False
        self.died = 0.0
        self.frozen = self.froze = False
        self.ending = False  # it was told to
        self.steps = 0
        self.plans: dict[int, Callable[[], object]] = {}
        self.tasks: list[asyncio.Task[Any]] = []
        self.on_end: Callable[[Process], None] = lambda process: None
        self.on_task: Callable[[], object] | None = None  # when its next task begins
        loop.processes.append(self)
        self._loop = loop
        self._held: list[Callback] = []
        self.exhumed = False
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self)
        if crash_at is not None:
            self.plans[max(1, crash_at)] = self.crash

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run this as the first task of the process."""
        task: asyncio.Task[T] = self._loop.create_task(coroutine, name=self.name, context=self._context)
        return task

    def do(self, action: Callable[[], object]) -> None:
        """Run this inside the process, when it runs."""
        self._loop.call_soon(action, context=self._context)

    def admits(self, callback: Callback) -> bool:
        """Whether this callback may run now; if not, it is kept. A plan for this step is carried out after it."""
        if self.dead or self.frozen:
            self._held.append(callback)
            return False
        self.steps += 1
        if self.steps in self.plans:
            self._loop.call_soon(self.plans.pop(self.steps), context=OUTSIDE)
        return True

    def crash(self) -> None:
        """Stop for ever, between two callbacks, without any cleanup."""
        if not self.dead and not self.exhumed:
            self.dead = True
            self.died = self._loop.time()
            self.on_end(self)

    def freeze(self) -> None:
        """Stop for now."""
        self.frozen = self.froze = True

    def thaw(self) -> None:
        """Go on: everything that has become ready meanwhile runs now."""
        self.frozen = False
        if not self.dead:
            held, self._held = self._held, []
            self._loop.soon.extend(held)

    def exhume(self) -> None:
        """After the last check: let what is left of it end."""
        self.dead, self.exhumed = False, True
        self.plans.clear()
        self.thaw()

    def forget(self) -> None:
        """It is over."""
        self.tasks, self.plans, self._held = [], {}, []
        self.on_end, self.on_task = lambda process: None, None

    @property
    def unfinished(self) -> list[str]:
        """What its tasks that have not ended wait for."""
        return [place(task) for task in self.tasks if not task.done()]


def run(main: Coroutine[Any, Any, T], horizon: float = 100_000.0) -> T:
    """Run this to its end on virtual time."""
    loop = VirtualLoop(horizon)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.finish()

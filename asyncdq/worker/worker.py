"""The worker as its users see it. Its heart is in `shift.py`."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress

from .. import context, drivers, serializers
from ..client import Client
from ..drivers.base import BaseDriver
from ..errors import ConfigurationError, TaskError
from ..events.base import Emitter
from ..events.hub import Hub
from ..names import check_queue
from ..retry import RetryPolicy
from ..serializers.base import Serializer
from ..signing import Keyring
from ..soon import start_soon
from ..tasks import registry
from .config import Config
from .crew import REAL, Crew, Machine, assemble
from .handlers import handled
from .log import log
from .outage import Outage
from .shift import Shift
from .watchdog import Patience

NAMED = 3  # tasks of queues that are not worked: more would be a list that nobody reads


class Worker:
    """Runs the tasks of its queues, all the queues' tasks in the order in which the queues are named.

    queue_driver        a driver, or the URL of one; connected if it is not, and then also closed
    queues              names in priority order: a ready task of an earlier queue always comes first
    concurrency         how many tasks run at once
    max_tasks           end after exactly so many executions
    burst               end when the queues are empty; delayed tasks do not count
    serializer          reads messages, beside msgpack and json; and writes what tasks enqueue
    worker_id           a name for the logs; default: host-pid-xxxx
    heartbeat_interval  seconds between log lines and events that say that it lives
    grace_period        seconds that running tasks get to end after the first signal
    visibility_timeout  seconds after which others take over when this worker dies
    process_pool_size   processes for tasks with process=True, started when first needed; default: the CPUs
    process_pool_max_tasks_per_child  replace a process after so many tasks
    process_pool_initializer  a function that each process calls before its first task, such as to set up its logging;
                        found by its module and name, so it stands at module level (or is a `partial` of one)
    claim_ahead         tasks to claim beyond the slots; default: as many as will find a slot within 15 ms, at most
                        as many as slots, or 1,024 if that is more (256 on SQLite and RabbitMQ), about 16 MiB of
                        bodies, and what ran in half a second lately; none while more tasks with one attempt come
                        than there are slots; 0 keeps the order of priorities strict to the last
    retry, timeout      for tasks that do not say: how to retry, and seconds until an attempt is ended
    default_queue       where tasks that run here enqueue what names no queue
    attempts_cap        the highest `max_attempts` of any task, whatever it says; default: no such limit
    emitters            hear of what happens to tasks and to this worker: see docs/events.md
    signing_keys        bury what is not signed with one of these; the first signs what tasks enqueue
    accept_unsigned     run it all the same: while keys are being introduced

    Raises ConfigurationError for a parameter out of range.
    """

    _machine: Machine = REAL

    def __init__(
        self,
        queue_driver: BaseDriver | str,
        queues: Iterable[str] = ("default",),
        concurrency: int = 10,
        max_tasks: int | None = None,
        burst: bool = False,
        serializer: Serializer | str = "msgpack",
        worker_id: str | None = None,
        heartbeat_interval: float = 60.0,
        grace_period: float = 25.0,
        visibility_timeout: float = 60.0,
        process_pool_size: int | None = None,
        process_pool_max_tasks_per_child: int | None = None,
        process_pool_initializer: Callable[[], object] | None = None,
        claim_ahead: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        default_queue: str = "default",
        attempts_cap: int | None = None,
        emitters: Iterable[Emitter] = (),
        signing_keys: Iterable[str] | str = (),
        accept_unsigned: bool = False,
    ) -> None:
        # long because: each parameter is an option of the worker
        self.driver = drivers.resolve(queue_driver)
        self.serializer = serializers.load(serializer)
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.default_queue = check_queue(default_queue)
        self.events = Hub.of(emitters, self.worker_id)
        self.keyring = Keyring.of(signing_keys)
        self.accept_unsigned = accept_unsigned
        self.left_behind = 0  # tasks that could not be ended at shutdown; they die with this process
        self._config = Config(
            queues=tuple([queues] if isinstance(queues, str) else queues),
            concurrency=concurrency,
            max_tasks=max_tasks,
            burst=burst,
            worker_id=self.worker_id,
            heartbeat_interval=heartbeat_interval,
            grace_period=grace_period,
            visibility_timeout=visibility_timeout,
            process_pool_size=process_pool_size,
            process_pool_max_tasks_per_child=process_pool_max_tasks_per_child,
            process_pool_initializer=process_pool_initializer,
            claim_ahead=claim_ahead,
            retry=retry or RetryPolicy(),
            timeout=timeout,
            attempts_cap=attempts_cap,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shift: Shift | None = None
        self._opening: asyncio.Task[None] | None = None
        self._stopped = False
        self._hurried = False
        self._signals = 0

    async def start(self, *, handle_signals: bool | None = None) -> None:
        """Work until stopped, or until a burst or max_tasks is over. Cancelling it gives everything back.

        The first SIGTERM or SIGINT drains, the second cancels what is running and gives it back, the third ends the
        process at once with 128 + its number. What handled these signals before does so again at the end.

        handle_signals  None: each of them that the application does not handle by itself, in the main thread; an
                        application that does calls `stop`. True: both, whoever handles them; what had been set with
                        `loop.add_signal_handler` is gone afterwards, since it cannot be read. False: none

        Raises ConfigurationError, or DriverError when the backend refuses work for good.
        """
        if self._loop is not None:
            raise TaskError("this worker has been started already")
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # multiprocessing asks it likewise
            raise ConfigurationError(
                "this process of a pool would start a worker of its own while it reads the script: put what the script "
                "does under `if __name__ == '__main__':`"
            )
        self._signals = 0
        with handled(self._on_signal, handle_signals):
            self._loop = asyncio.get_running_loop()
            work = start_soon(self._work())
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                self.stop(now=True)
                await _to_the_end(work)
                raise
            finally:
                self._loop = None
                self._stopped = self._hurried = False

    def stop(self, *, now: bool = False) -> None:
        """Let the worker end: it claims nothing more and drains; `now`: cancels what is running, too.

        May be called from any thread, at any time, repeatedly.
        """
        self._stopped = True
        self._hurried = self._hurried or now
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # it has ended, and its event loop with it, since we looked
                loop.call_soon_threadsafe(self._pass_on_stop)

    def _pass_on_stop(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._shift is not None and self._stopped:
            self._shift.stop(hurry=self._hurried)

    async def _work(self) -> None:
        config, outage = self._config, Outage()
        self._check_tasks()
        client = Client(self.driver, serializer=self.serializer, default_queue=self.default_queue)
        client.events, client.keyring = self.events, self.keyring
        async with AsyncExitStack() as stack:
            if not await self._open(client, outage):
                return
            stack.push_async_callback(client.close)
            context.sender.set(client)  # of this asyncio task, and so of every task that it starts
            context.of_workers.append(client)  # for the threads that they start themselves, until it is closed
            believed = None if self.accept_unsigned else self.keyring
            crew = await stack.enter_async_context(assemble(config, client, outage, believed, self._machine))
            shift = self._shift = self._begin(crew)
            stack.callback(start_soon(self._beat(shift, crew)).cancel)
            patience = Patience(config.visibility_timeout / 3)
            crew.leases.on_lease = lambda lease: patience.shorten(lease / 3)
            stack.enter_context(self._machine.watch(patience, shift.name_of))
            self._pass_on_stop()
            crew.journal.online()
            if not self.driver.limits.ends_leases:
                log.info("this backend ends leases with the connection, not by time: visibility_timeout has no effect")
            log.info(
                "worker %s is ready: %s", self.worker_id, ", ".join(config.queues), extra={"event": "worker_ready"}
            )
            try:
                await shift.claim()
            finally:
                self.left_behind = await shift.finish(config.grace_period) + crew.executor.threads_left
                self._shift = None
        log.info("worker %s has ended: %s", self.worker_id, crew.journal, extra={"event": "worker_ended"})

    def _begin(self, crew: Crew) -> Shift:
        return Shift(self._config, crew)

    async def _open(self, client: Client, outage: Outage) -> bool:
        """Connect, however long the backend is away; False if the worker was stopped meanwhile."""
        opening = self._opening = start_soon(_retried(client, outage))
        if self._stopped:
            opening.cancel()
        await asyncio.wait([opening])
        self._opening = None
        if opening.cancelled():
            text = "worker %s has ended: it was stopped before it reached its backend"
            log.info(text, self.worker_id, extra={"event": "worker_ended"})
            return False
        opening.result()
        return True

    async def _beat(self, shift: Shift, crew: Crew) -> None:
        while True:
            await asyncio.sleep(self._config.heartbeat_interval)
            facts = {"event": "worker_heartbeat", "running": shift.running, "stuck": len(crew.executor.stuck)}
            text = "worker %s is alive: %d running, %d stuck, %s"
            values = self.worker_id, shift.running, len(crew.executor.stuck), crew.journal
            log.info(text, *values, extra={**facts, **crew.journal.counts})
            crew.journal.alive()

    def _check_tasks(self) -> None:
        of_processes = [task.name for task in registry().values() if task.process]
        if self._config.process_pool_size == 0 and of_processes:
            raise ConfigurationError(
                f"process_pool_size is 0, but these tasks need a process: {', '.join(of_processes)}; "
                "give the worker a pool, or let another worker have these modules"
            )
        goes_to = {task.name: task.queue or self.default_queue for task in registry().values()}
        elsewhere = sorted((name, queue) for name, queue in goes_to.items() if queue not in self._config.queues)
        if elsewhere:
            named = [f"{name} goes to the queue {queue!r}" for name, queue in elsewhere[:NAMED]]
            more = [f"{len(elsewhere) - NAMED} more to other queues"] if len(elsewhere) > NAMED else []
            log.info("not worked here: %s", ", ".join(named + more), extra={"event": "tasks_elsewhere"})

    def _on_signal(self, number: signal.Signals) -> None:
        self._signals += 1
        if self._signals == 1:
            text = "%s: finishing what is running, for up to %g s; the same again cancels it"
            log.warning(text, number.name, self._config.grace_period)
            self.stop()
        elif self._signals == 2:
            log.warning("%s: cancelling what is running and giving it back; once more ends at once", number.name)
            self.stop(now=True)
        else:
            os._exit(128 + number)


async def _to_the_end(work: asyncio.Task[None]) -> None:
    """Return when this is done, however often the caller is cancelled: what is in hand has to be given back."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    if (error := work.exception()) is not None:
        log.error("the worker ended with an error: %s", error)  # its caller gets the cancellation


async def _retried(client: Client, outage: Outage) -> None:
    await outage.persist(lambda: client.open(ambient=False))

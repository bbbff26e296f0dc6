"""`asyncdq worker`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from .. import __version__
from ..default import emitters_of
from ..errors import ConfigurationError, ExecutionError, MissingExtra
from ..retry import RetryPolicy
from ..settings import Settings, strays
from ..url import masked
from . import logs
from .driver import new_driver
from .modules import import_modules

if TYPE_CHECKING:
    from ..worker import Worker

logger = logging.getLogger("asyncdq.worker")

PYTHONS_THRESHOLD = gc.get_threshold()
LAST_THREADS = 3.0  # seconds that threads which tasks have left running get when the worker has ended


def worker(settings: Settings) -> None:
    """Run the tasks of MODULES, or of the tasks.py files found here, until told to stop.

    SIGTERM or Ctrl-C lets running tasks finish within the grace period; a second one interrupts them
    and gives them back; a third one ends the process at once.
    """
    logs.configure(settings.log_level, settings.log_format)
    for stray in strays():
        logger.warning("%s", stray)
    modules = import_modules(settings.tasks)
    _collect_less_often()
    new_loop = _loop_factory(settings.uvloop)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_work(settings, modules))
    except SystemExit as error:
        # asyncio lets it through from any asyncio task: one that a task started, since ours do not.
        raise ExecutionError("something that a task started called sys.exit(), which ended the worker") from error


def _collect_less_often() -> None:
    """Garbage collections cost a worker a fifth of its CPU, and find next to nothing: what a task leaves has no cycles.

    What has been imported is not looked at any more. Unless a module of tasks has set it, the youngest generation is
    looked at every 10,000 objects, where Python's default is some hundred or thousand.
    """
    gc.collect()
    gc.freeze()
    if gc.get_threshold() == PYTHONS_THRESHOLD:
        gc.set_threshold(10_000, *PYTHONS_THRESHOLD[1:])


async def _work(settings: Settings, modules: Sequence[str]) -> None:
    worker = _build(settings)
    _introduce(settings, worker, modules)
    try:
        await worker.start(handle_signals=True)
    finally:
        error = sys.exception()
        if worker.left_behind:
            _leave(error)
        # The interpreter waits for every thread, such as those of asyncio.to_thread: not longer than this.
        last = threading.Timer(LAST_THREADS, _leave, [error])
        last.daemon = True
        last.start()


def _leave(error: BaseException | None) -> NoReturn:
    """End the process under threads that cannot be ended; returning would wait for them."""
    if error is not None:
        logger.error("%s", error)
    logging.shutdown()
    if sys.stdout is not None:  # it was closed
        sys.stdout.flush()
    os._exit(0 if error is None else 1)


def _build(settings: Settings) -> Worker:
    from ..worker import Worker  # lazily: no other command needs it

    return Worker(
        new_driver(settings),
        queues=list(settings.queues),
        concurrency=settings.concurrency,
        max_tasks=settings.max_tasks,
        burst=settings.burst,
        serializer=settings.serializer,
        worker_id=settings.name,
        heartbeat_interval=settings.heartbeat_interval,
        grace_period=settings.grace_period,
        visibility_timeout=settings.task_defaults_visibility_timeout,
        process_pool_size=settings.process_pool_size,
        process_pool_max_tasks_per_child=settings.process_pool_max_tasks_per_child,
        process_pool_initializer=partial(logs.configure, settings.log_level, settings.log_format),
        claim_ahead=None if settings.claim_ahead == "auto" else settings.claim_ahead,
        retry=RetryPolicy(
            max_attempts=settings.task_defaults_max_attempts,
            delay=settings.task_defaults_retry_delay,
            strategy=settings.task_defaults_retry_strategy,
        ),
        timeout=settings.task_defaults_timeout,
        default_queue=settings.task_defaults_queue,
        attempts_cap=settings.attempts_cap,
        emitters=emitters_of(settings),
        signing_keys=settings.signing_keys or (),
        accept_unsigned=settings.accept_unsigned,
    )


def _introduce(settings: Settings, worker: Worker, modules: Sequence[str]) -> None:
    """What somebody who reads the log needs to know about this worker. Raises ConfigurationError without tasks."""
    from ..tasks import registry

    names = sorted(registry())
    if not names:
        raise ConfigurationError(f"no tasks in {', '.join(modules)}: mark a function there with @task")
    found = "" if settings.tasks else " (found in the working directory)"
    logger.info("asyncdq %s, worker %s", __version__, worker.worker_id)
    logger.info("driver %s, %s", settings.driver, settings.place)
    logger.info("queues %s, concurrency %d", ", ".join(settings.queues), settings.concurrency)
    logger.info("modules %s%s", ", ".join(modules), found)
    if settings.events_enable_event_emitter_redis:
        logger.info("events %s, %s", settings.events_channel, masked(settings.events_url()))
    logger.info("%d tasks: %s", len(names), ", ".join(names))


def _loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not uvloop:
        return None
    try:
        from uvloop import new_event_loop
    except ImportError:
        raise MissingExtra("--uvloop", "uvloop") from None
    return new_event_loop

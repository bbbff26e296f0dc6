"""Which client a task enqueues through when none is named: its worker's, the one that is open here, the one that is
open elsewhere in this process, or the default one.

The default client is made from the settings, one per event loop and process. It is closed when
`asyncio.run` ends, because a started async generator owns it and `asyncio.run` finalizes those. Code
outside any event loop shares one loop in a background thread, which ends with the process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from . import context, drivers
from .client import Client, opened_on
from .context import Sender
from .events.base import Emitter
from .message import Call, Enqueued
from .soon import start_soon

if TYPE_CHECKING:
    from .settings import Settings

BLOCKED = 10.0
"""Seconds for which an event loop may do nothing at all before a thread no longer waits for its client."""

_lifetimes: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[Client]] = WeakKeyDictionary()
_openings: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Client]] = WeakKeyDictionary()
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = WeakKeyDictionary()


async def current() -> Sender:
    """Inside a task its worker's client, else the one that is open on this loop, or elsewhere, else the default one."""
    loop = asyncio.get_running_loop()
    mine = context.sender.get(None) or opened_on(loop)
    if isinstance(mine, Client) and mine.on_another_loop:
        return _Across(mine, None)
    return mine or _shared() or _opened.get(loop) or await _default()


def current_sync() -> Sender:
    """The same for code outside an event loop: there, the default client is that of the background loop."""
    loop = asyncio._get_running_loop()
    mine = context.sender.get(None) or (opened_on(loop) if loop is not None else None)
    return mine or _shared() or _background_client()


def _shared() -> Sender | None:
    """Who was opened last in this process, and can be reached: what a thread enqueues belongs where all else goes."""
    for sender in (*reversed(context.shared), *reversed(context.of_workers)):
        if not isinstance(sender, Client):
            return sender
        if sender.reachable:
            return _Across(sender, BLOCKED) if sender.on_another_loop else sender
    return None


class _Across:
    """A client of another event loop. `patience` is for whoever did not choose it, and may block that loop: seconds."""

    def __init__(self, client: Client, patience: float | None) -> None:
        self._client = client
        self._patience = patience

    def send_sync(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        """Store all calls; blocks."""
        return self._client.send_sync(calls, self._patience)

    async def send(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        """Store all calls, without blocking this event loop."""
        return await asyncio.to_thread(self.send_sync, calls)


async def _default() -> Client:
    """The default client of the running loop, opened by whoever comes first."""
    loop = asyncio.get_running_loop()
    opening = _openings.get(loop)
    if opening is None:
        opening = _openings[loop] = start_soon(_open_default(loop))
        opening.add_done_callback(lambda _: _openings.pop(loop, None))
    return await asyncio.shield(opening)


async def _open_default(loop: asyncio.AbstractEventLoop) -> Client:
    lifetime = _lifetimes[loop] = _lifetime(loop)
    return await anext(lifetime)


async def _lifetime(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Client]:
    client = _from_settings()
    try:
        await client.open(ambient=False)  # it is for those who have no other
        _opened[loop] = client
        yield client
    finally:
        _opened.pop(loop, None)
        _lifetimes.pop(loop, None)
        await client.close()


def _from_settings() -> Client:
    from .settings import load  # lazily: a producer that names its URL need not load pydantic

    settings = load()
    driver = drivers.from_url(settings.driver_url())
    queue = settings.task_defaults_queue
    return Client(
        driver,
        serializer=settings.serializer,
        default_queue=queue,
        emitters=emitters_of(settings),
        signing_keys=settings.signing_keys or (),
    )


def emitters_of(settings: Settings) -> list[Emitter]:
    """The emitters that the settings ask for. Raises MissingExtra, or ConfigurationError for a wrong URL."""
    if not settings.events_enable_event_emitter_redis:
        return []
    from .events import RedisEmitter  # lazily: it needs a package of its own

    return [RedisEmitter(settings.events_url(), channel=settings.events_channel)]


class _Background:
    """An event loop in a thread of its own, with its default client."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="asyncdq-enqueue", daemon=True)
        self.thread.start()

    def client(self) -> Client:
        async def find() -> Client:
            return _opened.get(self.loop) or await _default()

        return asyncio.run_coroutine_threadsafe(find(), self.loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.loop.shutdown_asyncgens(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


_background: _Background | None = None
_background_lock = threading.Lock()


def _background_client() -> Client:
    global _background
    with _background_lock:
        if _background is None:
            _background = _Background()
            atexit.register(_close_background, os.getpid())
    return _background.client()


def _close_background(pid: int) -> None:
    global _background
    if _background is not None and pid == os.getpid():  # a forked child inherits the handler, not the thread
        _background.close()
        _background = None


def _forget_background() -> None:
    """In a forked child: the thread is the parent's, and so is whatever its lock was doing."""
    global _background, _background_lock
    _background, _background_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_background)

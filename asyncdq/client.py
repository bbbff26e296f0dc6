"""The client: turns calls into messages and hands them to a driver; and which client a task uses by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar
from weakref import WeakKeyDictionary

from . import serializers
from .batcher import Batcher
from .blocking import result_of
from .context import of_workers, shared
from .drivers import resolve
from .drivers.base import BaseDriver
from .envelope import Envelope, carried, encode
from .errors import (
    AsyncdqError,
    BodyTooLarge,
    ConnectionLost,
    DriverError,
    InvalidCall,
    TaskError,
    UnserializableArgument,
)
from .events.base import Emitter
from .events.hub import Hub
from .message import Bindable, Call, Enqueued, Message
from .misuse import check_calls, no_task
from .names import check_queue, check_task, new_id
from .ranges import check_options, delay_of
from .serializers.base import Serializer
from .signing import BLANK, Keyring

P = ParamSpec("P")
T = TypeVar("T")

_open: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Client]] = WeakKeyDictionary()


class Client:
    """Enqueues calls through one driver, from one event loop.

    Concurrent calls share a round trip. While it is open, the tasks of this event loop use it by
    themselves, and so do those of threads that have no other one. A driver that is not connected is
    connected on opening, and then also closed.
    """

    def __init__(
        self,
        driver: BaseDriver | str,
        *,
        serializer: Serializer | str = "msgpack",
        default_queue: str = "default",
        emitters: Iterable[Emitter] = (),
        signing_keys: Iterable[str] | str = (),
    ) -> None:
        """`driver` is a driver or its URL; `emitters` hear of what is enqueued; the first of `signing_keys` signs it.

        Raises ConfigurationError.
        """
        self.driver = resolve(driver)
        self.serializer = serializers.load(serializer)
        self.default_queue = check_queue(default_queue)
        self.events = Hub.of(emitters)
        self.keyring = Keyring.of(signing_keys)
        self._owns_driver = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batcher: Batcher[Message, bool] = Batcher(self._store, self.driver.limits.batch, unstoppable=True)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        serializer: Serializer | str = "msgpack",
        default_queue: str = "default",
        emitters: Iterable[Emitter] = (),
        signing_keys: Iterable[str] | str = (),
    ) -> Self:
        """A client on the driver that the URL's scheme names, for example `sqlite://tasks.db`."""
        return cls(
            url, serializer=serializer, default_queue=default_queue, emitters=emitters, signing_keys=signing_keys
        )

    async def open(self, *, ambient: bool = True) -> None:
        """Connect the driver unless it is connected, and create what it needs. Raises DriverError.

        `ambient`: the tasks of this event loop enqueue through this client by themselves, and so does code of this
        process that has no other one, such as a thread.
        """
        if self._loop is not None:
            raise TaskError("this client is open already; open it once and share it")
        self._owns_driver = not self.driver.connected
        if self._owns_driver:
            await self.driver.connect()
        try:
            await self.driver.setup()
        except BaseException:
            await self._disconnect()
            raise
        self._loop = asyncio.get_running_loop()
        if ambient:
            _open.setdefault(self._loop, []).append(self)
            shared[:] = [each for each in shared if not (isinstance(each, Client) and each.left_open)] + [self]

    async def close(self) -> None:
        """Finish what is under way, then disconnect the driver if `open` connected it. May be repeated."""
        loop, self._loop = self._loop, None
        if loop is not None:
            if self in (opened := _open.get(loop, [])):
                opened.remove(self)
            for known in (shared, of_workers):
                if self in known:
                    known.remove(self)
            try:
                await self._batcher.drain()
            finally:
                try:
                    await self._disconnect()
                finally:
                    if self.events is not None:
                        await self.events.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def enqueue(self, task: Bindable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Enqueued[T]:
        """Store one call; returns when it is stored. Raises what `Task.enqueue` raises."""
        try:
            bind = task.bind
        except AttributeError:
            raise no_task(task) from None
        return (await self.send([bind(*args, **kwargs)]))[0]

    async def enqueue_many(self, calls: Iterable[Call[Any]]) -> list[Enqueued[Any]]:
        """Store many calls, such as `[send_email.bind("a@example.com"), resize.using(delay=5).bind(3)]`.

        Nothing is stored if one of them is invalid. If the backend fails on the way, the DriverError's
        `stored` names the messages that were stored.
        """
        try:
            each = iter(calls)
        except TypeError:
            check_calls(calls)
            raise
        return await self.send(list(each))

    async def send(self, calls: Sequence[Call[Any]]) -> list[Enqueued[Any]]:
        """`enqueue_many` for a sequence; what everything else that enqueues comes down to."""
        if self._loop is not asyncio.get_running_loop():
            raise self._elsewhere()
        try:
            messages = [self._message(call) for call in calls]
        except (AttributeError, TypeError):
            check_calls(calls)
            raise
        if len(messages) == 1:
            created = [await self._batcher.call(messages[0])]
            if self.events is not None:
                self.events.enqueued(calls, messages, created)
        else:
            created = await self._store_many(calls, messages)
        return [Enqueued(message.id, message.queue, new) for message, new in zip(messages, created, strict=True)]

    def send_sync(self, calls: Sequence[Call[Any]], patience: float | None = None) -> list[Enqueued[Any]]:
        """`send` from another thread than the one whose event loop runs this client; blocks.

        Raises TaskError if that event loop is blocked for `patience` seconds; None: waits for as long as it is.
        """
        if self._loop is None:
            raise self._elsewhere()
        if asyncio._get_running_loop() is self._loop:
            raise TaskError("enqueue_sync would block the event loop it waits for: use `await task.enqueue(...)` here")
        if not self.reachable:
            raise TaskError("the event loop of this client does not run: leave it to enqueue_sync to find one")
        return result_of(lambda: self.send(calls), self._loop, patience)

    @property
    def reachable(self) -> bool:
        """Whether it is open, on an event loop that runs."""
        return self._loop is not None and self._loop.is_running()

    @property
    def left_open(self) -> bool:
        """Whether its event loop was closed before it was."""
        return self._loop is not None and self._loop.is_closed()

    @property
    def on_another_loop(self) -> bool:
        """Whether it is open on another event loop than the running one."""
        return self._loop is not None and self._loop is not asyncio._get_running_loop()

    def _elsewhere(self) -> TaskError:
        if self._loop is None:
            return TaskError("this client is not open: use `async with client:` or `await client.open()`")
        return TaskError("this client was opened on another event loop: open one for each loop")

    def _message(self, call: Call[Any]) -> Message:
        options = call.options
        check_task(call.name)
        check_options(options, call.name)
        delay, most = delay_of(options, call.name), self.driver.limits.delay
        if most is not None and delay > most:
            raise InvalidCall(f"{call.name}: a delay of {delay} s is over this backend's {most} s")
        id, queue = options.id or new_id(), options.queue or self.default_queue
        body, limit = self._body(call, id, queue), self.driver.limits.body
        if len(body) > limit:
            raise BodyTooLarge(
                f"{call.name}: the message has {len(body)} bytes, over this backend's {limit}; "
                "store the data elsewhere and enqueue its key"
            )
        return Message(id, queue, body, delay)

    def _body(self, call: Call[Any], id: str, queue: str) -> bytes:
        headers: Mapping[str, str] = {} if self.keyring is None else BLANK
        args, options = self._written(call), carried(call.options)
        body = encode(Envelope(call.name, self.serializer.content_type, args, options, headers))
        return body if self.keyring is None else self.keyring.sign(id, queue, body)

    def _written(self, call: Call[Any]) -> bytes:
        try:
            written: object = self.serializer.dumps([list(call.args), dict(call.kwargs)])
        except UnserializableArgument as error:
            raise UnserializableArgument(f"{call.name}: {error}") from error
        if not isinstance(written, bytes):  # from a serializer of the user's
            kind = type(written).__name__
            raise UnserializableArgument(f"{call.name}: `dumps` of the serializer has to return bytes, not {kind}")
        return written

    async def _store(self, messages: list[Message]) -> Sequence[bool | BaseException]:
        """For each message whether it was new, or its error. One message that is refused does not hurt the others."""
        try:
            known = await self.driver.enqueue(messages)
        except ConnectionLost as error:
            return [stored or error for stored in _among(messages, error.stored)]
        except AsyncdqError as error:
            if len(messages) == 1:
                return [error]
            stored = _among(messages, error.stored if isinstance(error, DriverError) else ())
            each = zip(messages, stored, strict=True)
            return [there or (await self._store([message]))[0] for message, there in each]
        return _new(messages, known)

    async def _store_many(self, calls: Sequence[Call[Any]], messages: list[Message]) -> list[bool]:
        created: list[bool] = []
        stored: list[Message] = []
        for start in range(0, len(messages), self.driver.limits.batch):
            part = messages[start : start + self.driver.limits.batch]
            try:
                known = await self.driver.enqueue(part)
            except DriverError as error:
                error.stored = (*stored, *error.stored)
                raise
            stored += part
            new = _new(part, known)
            if self.events is not None:  # now: a buffer of events is bounded
                self.events.enqueued(calls[start : start + len(part)], part, new)
            created += new
        return created

    async def _disconnect(self) -> None:
        if self._owns_driver:
            await self.driver.disconnect()


def _new(messages: Sequence[Message], known: Sequence[Message]) -> list[bool]:
    """Which of the messages were not known before."""
    return [not there for there in _among(messages, known)] if known else [True] * len(messages)


def _among(messages: Sequence[Message], some: Sequence[Message]) -> list[bool]:
    """Which of the messages are some of these: by identity, since one batch may hold equal ones."""
    these = set(map(id, some))
    return [id(message) in these for message in messages]


def opened_on(loop: asyncio.AbstractEventLoop) -> Client | None:
    """The client that was opened last on this event loop and is still open."""
    clients = _open.get(loop)
    return clients[-1] if clients else None

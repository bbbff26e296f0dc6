"""A connection to RabbitMQ, and the one place where the client library is known.

The typed seam: of aio-pika we use the layer that it stands on, aiormq. Above it, aio-pika makes several objects
per message and brings connections back by itself, with everything that was under way forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import aiormq

from ..errors import ConfigurationError, ConnectionLost, DriverError
from ..soon import start_soon
from .rabbitmq_address import Address
from .rabbitmq_errors import BROKEN, CLOSED, Unwelcome, explained

T = TypeVar("T")

OLDEST = (3, 10)
"""The first version whose quorum queues can delay."""

Properties = aiormq.spec.Basic.Properties

# What it says there we raise as errors, with the words that help; a worker would else show each lost
# connection several times, with a traceback. Who wants to read it sets a level.
for _name in ("aiormq.connection", "aiormq.channel"):
    if logging.getLogger(_name).level == logging.NOTSET:
        logging.getLogger(_name).setLevel(logging.CRITICAL)


class Incoming(Protocol):
    """What we use of a delivered message."""

    @property
    def body(self) -> bytes: ...
    @property
    def delivery_tag(self) -> int | None: ...
    @property
    def message_count(self) -> int | None: ...
    @property
    def header(self) -> Any: ...


class Declared(Protocol):
    """The answer to a declaration, a deletion or a purge."""

    message_count: int


class Cancelled(Protocol):
    """The broker's word that it has ended a consumer."""

    @property
    def consumer_tag(self) -> str | None: ...


class Channel(Protocol):
    """What we use of a channel of aiormq."""

    closing: asyncio.Future[Any]
    on_consumer_cancel_callbacks: set[Callable[[Any], Any]]

    @property
    def is_closed(self) -> bool: ...
    async def close(self, exc: Any = ..., timeout: float | None = ...) -> None: ...
    async def basic_qos(self, *, prefetch_count: int) -> Any: ...
    async def basic_consume(
        self, queue: str, consumer_callback: Callable[[Any], Any], *, consumer_tag: str, arguments: Any = ...
    ) -> Any: ...
    async def basic_cancel(self, consumer_tag: str) -> Any: ...
    async def basic_get(self, queue: str) -> Incoming: ...
    async def basic_ack(self, delivery_tag: int, multiple: bool = ..., wait: bool = ...) -> None: ...
    async def basic_publish(
        self, body: bytes, *, exchange: str, routing_key: str, properties: Any, mandatory: bool, wait: bool
    ) -> Any: ...
    async def exchange_declare(self, exchange: str, *, exchange_type: str, durable: bool) -> Any: ...
    async def exchange_bind(self, destination: str, source: str, routing_key: str) -> Any: ...
    async def queue_declare(
        self, queue: str, *, passive: bool = ..., durable: bool = ..., exclusive: bool = ..., arguments: Any = ...
    ) -> Declared: ...
    async def queue_bind(self, queue: str, exchange: str, routing_key: str) -> Any: ...
    async def queue_delete(self, queue: str) -> Any: ...
    async def queue_purge(self, queue: str) -> Declared: ...


class _Connection(Protocol):
    server_properties: Mapping[str, Any]
    connection_tune: Any
    channels: Mapping[int, Any]

    @property
    def closing(self) -> asyncio.Future[Any]: ...
    @property
    def is_closed(self) -> bool: ...
    async def connect(self) -> bool: ...
    async def close(self, exc: Any, timeout: float | None = ...) -> None: ...
    def ready(self) -> Coroutine[Any, Any, None]: ...
    async def channel(self, channel_number: int, *, publisher_confirms: bool, on_return_raises: bool = ...) -> Any: ...


@dataclass(slots=True, eq=False)
class Opened:
    """One life of a connection. `declared` holds the names that are known to be there."""

    connection: _Connection
    address: Address
    declared: set[str] = field(default_factory=set[str])
    on_discard: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    discarded: bool = False
    channels: int = 0

    @property
    def alive(self) -> bool:
        """Whether nothing is known against it."""
        return not self.discarded and not self.connection.is_closed

    def discard(self) -> None:
        """Nothing on it counts any more, also while it is still being closed."""
        self.discarded = True
        for told in self.on_discard:
            told()

    async def channel(self, *, confirms: bool = False) -> Channel:
        """One more channel; with `confirms`, a publish on it ends when the message is stored."""
        made = await self.connection.channel(self._number(), publisher_confirms=confirms, on_return_raises=True)
        return cast("Channel", made)

    def _number(self) -> int:
        """One that was not used lately.

        Left alone, the library opens a number again that the broker has closed, before it has confirmed that: then
        the broker ends the whole connection.
        """
        most = self.connection.connection_tune.channel_max or 2047
        for _ in range(most):
            self.channels = self.channels % most + 1
            if self.channels not in self.connection.channels:
                return self.channels
        raise DriverError(f"the RabbitMQ at {self.address} allows {most} channels, and all are in use: one per queue")

    @property
    def blocked(self) -> bool:
        """Whether the broker lets nobody publish now. The library lets one wait for that only, so one step of it is."""
        waiting = self.connection.ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        finally:
            waiting.close()
        return True

    async def unblocked(self) -> None:
        """Return when the broker lets us publish, or the connection has ended: the library waits on then."""
        ready, ended = start_soon(self.connection.ready()), self.connection.closing
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            ended.cancel()  # of it the library gives each who asks one of his own


class Link:
    """A connection that is opened when it is needed, and again after it broke. Of one event loop.

    `beside` is another one to the same broker: what has let one in will let the other in, at least later.
    """

    def __init__(self, address: Address, timeout: float, beside: Link | None = None) -> None:
        self.address = address
        self.timeout = timeout
        self._beside = beside
        self._was_let_in = False
        self._opened: Opened | None = None
        self.discards = 0
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def opened(self) -> Opened:
        """The connection. Raises `ConfigurationError` if trying again makes no sense."""
        async with self._opening:
            if self._opened is None or not self._opened.alive:
                try:
                    self._opened = await self._open()
                except ConfigurationError as error:
                    if self.was_let_in:  # a file that is being replaced, a server that is: it may be right again
                        raise ConnectionLost(str(error)) from error
                    raise
                except BROKEN as error:
                    here = f"the RabbitMQ at {self.address}"
                    if CLOSED in str(error) and self.was_let_in:
                        text = f"{here} closes connections while they are opened: at a limit of their number, perhaps"
                        raise ConnectionLost(text) from error
                    if isinstance(error, Unwelcome) and self.was_let_in:
                        raise ConnectionLost(f"{here} refuses this user and password now; it let them in") from error
                    raise
                self._was_let_in = True
            return self._opened

    @property
    def was_let_in(self) -> bool:
        """Whether user, password and virtual host are right: they were."""
        return self._was_let_in or (self._beside is not None and self._beside.was_let_in)

    def discard(self, only: Opened | None = None) -> None:
        """Use another connection from now on: this one does not answer. With `only`, unless it is not that one."""
        if only is not None and only is not self._opened:
            return
        opened, self._opened = self._opened, None
        if opened is not None:
            self.discards += 1
            opened.discard()
            # With an error of our own: by default it cancels whoever waits for an answer.
            self._end(start_soon(opened.connection.close(ConnectionResetError("the connection was closed"))))

    async def close(self) -> None:
        """Close it, and wait for those that are being discarded."""
        self.discard()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _open(self) -> Opened:
        connecting = start_soon(_connect(self.address), name="asyncdq-rabbitmq-connect")
        try:
            await asyncio.wait([connecting])
        except asyncio.CancelledError:
            if not connecting.cancel() and not connecting.cancelled() and connecting.exception() is None:
                self._opened = connecting.result()  # it came in this very moment, and others may use it
            else:
                # Where TLS is spoken and nothing more, it says goodbye for half a minute: that is not waited for.
                await asyncio.wait([self._end(connecting)], timeout=0.5)
            raise
        return connecting.result()

    def _end(self, task: asyncio.Task[Any]) -> asyncio.Task[None]:
        ending = start_soon(_ended(task), name="asyncdq-rabbitmq-close")
        self._closing.add(ending)
        ending.add_done_callback(self._closing.discard)
        return ending


async def _connect(address: Address) -> Opened:
    # Before the library does, which says that a file is not there, and not which, and asks for the password of a key.
    # Not in a thread: all of them may wait for this very connection.
    if why := address.unreadable():
        raise ConfigurationError(f"no TLS with the RabbitMQ at {address}: {why}")
    no_host = f"{address} is no URL of a RabbitMQ: the client library cannot read its host"
    try:
        connection = cast("_Connection", aiormq.Connection(address.url))
    except ValueError:
        raise ConfigurationError(no_host) from None
    try:
        await connection.connect()
    except BaseException as error:
        await connection.close(ConnectionResetError("not opened"))
        if isinstance(error, ValueError) and not isinstance(error, OSError):  # as those of certificates are
            raise ConfigurationError(no_host) from None
        raise
    version = str(connection.server_properties.get("version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        await connection.close(ConnectionResetError("not used"))
        raise ConfigurationError(f"the server at {address} is RabbitMQ {version}; 3.10 or newer is needed")
    return Opened(connection, address)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Let the library close a connection, but not for ever."""
    patience = 3.0
    # Where the broker reads nothing, it waits to have written all, and once more when it is cancelled.
    while not task.done() and patience > 0.01:
        await asyncio.wait([task], timeout=patience)
        task.cancel()
        patience /= 10
    with suppress(asyncio.CancelledError, ConfigurationError, TimeoutError, *BROKEN):  # it is given up in any case
        if task.done():
            task.result()


async def within(link: Link, call: Awaitable[T]) -> T:
    """The answer of a call, in time. Raises `ConnectionLost` otherwise, and the connection is used no more."""
    before = link.discards
    with explained(link.address):
        try:
            async with asyncio.timeout(link.timeout):
                return await call
        except TimeoutError:
            if link.discards == before:  # else it was asked on another one
                link.discard()
            raise

"""A connection to Redis, and the one place where redis-py and its errors are known.

The typed seam: redis-py's own types say little. `socket_timeout=None` always: with a timeout of its own,
redis-py 8 on Python 3.11 loses cancellations, and ends a subscription that is quiet for 5 seconds. Protocol
2: answers are plain lists there on every version of client and server; nothing here needs the third.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from ..errors import AsyncdqError, ConfigurationError, ConnectionLost, DriverError
from .redis_address import Address

OLDEST = (6, 2)
"""The first version that pops several entries of a list at once."""

NAME = "asyncdq"
"""What CLIENT LIST shows our connections as."""

Refusal = ResponseError
"""The server's answer to one command was an error; the connection goes on."""

UnknownScript = NoScriptError
"""The server has been restarted, or its scripts were flushed."""

Demoted = ReadOnlyError
"""The server has become a replica: the connection is of no use any more."""

_WRAPPED: dict[str, type[Refusal]] = {"READONLY ": ReadOnlyError, "OOM ": OutOfMemoryError}

_HANDSHAKE = 0.5
"""Seconds after which a server that says nothing to TLS is asked without: a plain Redis waits for the end of a line."""

_IN_SCRIPT = re.compile(r"^Error running script .*: -(?=[A-Z]+ )", re.DOTALL)
"""How 6.2 begins what it says of a command that a script was refused."""

_PASSING = (BusyLoadingError, ClusterDownError, TryAgainError)
_PASSING_WORDS = ("BUSY ", "MISCONF ", "NOREPLICAS ", "UNBLOCKED ")
FAILURES = (RedisError, OSError, EOFError)
"""What the client library raises of a connection that is of no use."""


class Link(Protocol):
    """What we use of a connection of redis-py."""

    @property
    def is_connected(self) -> bool: ...
    async def connect(self) -> None: ...
    async def disconnect(self, nowait: bool = ...) -> None: ...
    async def send_packed_command(self, command: list[bytes], check_health: bool = ...) -> None: ...
    async def read_response(self, disable_decoding: bool = ..., *, disconnect_on_error: bool = ...) -> Any: ...
    async def can_read_destructive(self) -> bool: ...


def plain(refusal: Refusal) -> Refusal:
    """The error as a later server says it: 6.2 wraps that of a command in a script into another one."""
    said = str(refusal)
    inside = _IN_SCRIPT.sub("", said)
    if inside == said:
        return refusal
    kind = next((kind for word, kind in _WRAPPED.items() if inside.startswith(word)), Refusal)
    return kind(inside)


def pack(*args: bytes) -> bytes:
    """One command, as it goes over the wire."""
    parts = [b"*%d\r\n" % len(args)]
    parts += [b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args]
    return b"".join(parts)


async def ask(link: Link, *args: bytes) -> Any:
    """The answer to one command, with nothing else under way."""
    await link.send_packed_command([pack(*args)], check_health=False)
    return await link.read_response(disable_decoding=True)


async def heard(link: Link) -> list[Any]:
    """What a subscription says next. Nothing is lost if the caller stops waiting for it."""
    said: list[Any] = await link.read_response(disable_decoding=True, disconnect_on_error=False)
    return said


async def hung_up(link: Link) -> bool:
    """Whether the other side has closed the connection, as far as that is known without asking it."""
    # The name of before redis-py 8 is deprecated there.
    unread = getattr(link, "can_read", None) or link.can_read_destructive
    try:
        return bool(await unread())
    except FAILURES:
        return True


async def opened(address: Address) -> Link:
    """A connection to the server, or to the one that the Sentinels name, that has been found good for us."""
    if not address.service:
        return await _greeted(address, address.hosts[0] if address.hosts else None)
    return await _greeted(address, await _primary(address))


def _link(address: Address, place: tuple[str, int] | None, *, sentinel: bool = False) -> Link:
    options: dict[str, Any] = {
        "db": 0 if sentinel else address.db,
        "username": address.sentinel_username if sentinel else address.username,
        "password": address.sentinel_password if sentinel else address.password,
        "client_name": NAME,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "protocol": 2,
    }
    kind: Any = UnixDomainSocketConnection
    if place is None:
        options["path"] = address.path
    else:
        kind = Connection if address.tls is None else SSLConnection
        options |= {"host": place[0], "port": place[1], "socket_keepalive": True, **(address.tls or {})}
    return cast("Link", kind(**options))


async def _greeted(address: Address, place: tuple[str, int] | None) -> Link:
    """A connection to a server that can serve us."""
    link = _link(address, place)
    try:
        await _connect(link, address, place)
        await _check(link, address)
    except BaseException:
        await link.disconnect(nowait=True)
        raise
    return link


async def _connect(link: Link, address: Address, place: tuple[str, int] | None) -> None:
    if address.tls is None or place is None:
        await link.connect()
        return
    connecting = asyncio.ensure_future(link.connect())
    try:
        await asyncio.wait([connecting], timeout=_HANDSHAKE)
        if not connecting.done() and await _plain(place) and not connecting.done():
            raise ConfigurationError(_no_tls(address))
        await connecting
    finally:
        if connecting.cancel():
            await asyncio.wait([connecting])


async def _plain(place: tuple[str, int]) -> bool:
    """Whether a Redis answers here without TLS."""
    try:
        async with asyncio.timeout(_HANDSHAKE):
            reader, writer = await asyncio.open_connection(*place)
            try:
                writer.write(b"PING\r\n")
                return await reader.read(1) in (b"+", b"-")
            finally:
                writer.transport.abort()
    except OSError:  # TimeoutError is one
        return False


def _no_tls(address: Address) -> str:
    return f"the Redis at {address} does not speak TLS: write redis:// instead of rediss://, or give its TLS port"


async def _check(link: Link, address: Address) -> None:
    try:
        answer: list[Any] = await ask(link, b"HELLO")
    except Refusal as error:
        if "unknown command" not in str(error).lower():
            raise
        raise ConfigurationError(_too_old(address, "older than 6.0")) from error
    server = dict(zip(answer[::2], answer[1::2], strict=True))
    version = server[b"version"].decode()
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise ConfigurationError(_too_old(address, version))
    if server[b"mode"] == b"cluster":
        raise ConfigurationError(
            f"{address} is a Redis Cluster, which this driver cannot use: give it a single primary"
        )
    if server[b"mode"] == b"sentinel":
        raise ConfigurationError(f"{address} is a Sentinel: write redis+sentinel://HOST:PORT/SERVICE")
    if server[b"role"] != b"master":
        raise Demoted


def _too_old(address: Address, version: str) -> str:
    return f"the Redis at {address} is {version}; asyncdq needs 6.2 or later, or any Valkey"


async def _primary(address: Address) -> tuple[str, int]:
    """Where the Sentinels say that the primary is: the first of them that knows is believed."""
    troubles: list[Exception] = []
    for place in address.hosts:
        link = _link(address, place, sentinel=True)
        try:
            # A Sentinel that is frozen must leave time to ask the others.
            async with asyncio.timeout(2 * _HANDSHAKE):
                await _connect(link, address, place)
                found = await ask(link, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", address.service.encode())
        except (*FAILURES, TimeoutError) as error:
            troubles.append(error)
            continue
        finally:
            await link.disconnect(nowait=True)
        if found:
            return found[0].decode(), int(found[1])
    if troubles and all("unknown command" in str(trouble).lower() for trouble in troubles):
        raise ConfigurationError(f"what is at {address} is no Sentinel: write redis://HOST:PORT for a Redis itself")
    trouble = troubles[-1] if troubles else None
    if isinstance(trouble, AuthenticationError):
        raise trouble
    why = f": {trouble}" if str(trouble or "") else ""
    raise ConnectionLost(f"none of the Sentinels of {address} names a primary{why}") from trouble


@contextmanager
def explained(address: Address) -> Generator[None]:
    """Whatever goes wrong with a connection in this block is one of our errors."""
    try:
        yield
    except TimeoutError as error:
        raise ConnectionLost(f"the Redis at {address} did not answer in time") from error
    except FAILURES as error:
        raise explain(error, address) from error
    except ValueError as error:
        raise DriverError(f"{address} does not answer as a Redis does: {error}") from error


def explain(error: Exception, address: Address) -> AsyncdqError:
    """What an error of the client library, or an answer of the server, is for us. Never holds the password."""
    here = f"the Redis at {address}"
    if isinstance(error, (AuthenticationError, AuthenticationWrongNumberOfArgsError)):
        return ConfigurationError(f"{here} refuses the user name or password, or the lack of one")
    if isinstance(error, Demoted):
        return ConnectionLost(f"{here} is a read-only replica: give the address of its primary, or of Sentinels")
    if isinstance(error, MovedError):
        return ConfigurationError(f"{here} is a Redis Cluster, which this driver cannot use: give it a single primary")
    if isinstance(error, OutOfMemoryError):
        return DriverError(f"{here} is full (maxmemory): it takes no more messages until some are done")
    if isinstance(error, NoPermissionError):
        return ConfigurationError(f"{here} does not let this user do what a queue needs: {error}")
    if isinstance(error, _PASSING) or str(error).startswith(_PASSING_WORDS):
        return ConnectionLost(f"{here} cannot serve now: {error}")
    if isinstance(error, Refusal):
        if "DB index" in str(error) or "invalid DB" in str(error):
            return ConfigurationError(f"{here} has no database of the number {address.db}")
        return DriverError(f"{here} refused: {error}")
    trouble = _tls_trouble(error)
    if isinstance(trouble, ssl.SSLCertVerificationError):
        return ConfigurationError(f"{here} shows a certificate that is not trusted: set ssl_ca_certs in the URL")
    if trouble is not None and trouble.reason == "WRONG_VERSION_NUMBER":
        return ConfigurationError(_no_tls(address))
    return ConnectionLost(f"{here} cannot be reached, or the connection broke: {error}")


def again(error: AsyncdqError) -> AsyncdqError:
    """The same error for one more caller: raising a shared object would mix their tracebacks."""
    copy = type(error)(str(error))
    copy.__cause__ = error.__cause__
    return copy


def _tls_trouble(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS has found wrong, if that is what it is about."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error

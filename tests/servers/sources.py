"""Where a test's server comes from."""

from __future__ import annotations

import os

from . import container
from .given import Given
from .kind import Kind
from .mysql import MySQL
from .native import Native
from .postgres import Postgres
from .rabbitmq import RabbitMQ
from .redis import Redis
from .server import Server, ServerUnavailable
from .sqs import SQS

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Redis(), Postgres(), MySQL(), RabbitMQ(), SQS())}

CHOICE = "ASYNCDQ_TEST_SERVERS"
"""native or docker: only that source for private servers."""

_shared: dict[str, Server] = {}


def shared(name: str) -> Server:
    """The server that all tests of this process use and none breaks; started at the first call."""
    if name not in _shared:
        url = os.environ.get(KINDS[name].variable)
        server = Given(KINDS[name], url) if url else private(name)
        server.start()
        _shared[name] = server
    return _shared[name]


def close_shared() -> None:
    """Nothing of the shared servers is left."""
    while _shared:
        _shared.popitem()[1].close()


def private(name: str) -> Server:
    """A server of our own, not started yet. Raises `ServerUnavailable` with what to install."""
    kind, choice = KINDS[name], os.environ.get(CHOICE, "")
    if choice not in ("", "native", "docker"):
        raise ValueError(f"{CHOICE} is {choice!r}; it may be native or docker, or unset for both in this order")
    if choice != "docker" and kind.program():
        return Native(kind)
    if choice != "native" and container.docker_answers():
        return container.Container(kind)
    raise ServerUnavailable(missing(kind, choice))


def missing(kind: Kind, choice: str) -> str:
    """What to do about a server that cannot be had."""
    if choice == "docker":
        return f"no {kind.name} server: `docker info` does not answer, and no other source is allowed"
    ways = [kind.remedy(), f"set {kind.variable}"]
    ways += [] if choice == "native" else ["start Docker"]
    return f"no {kind.name} server for the tests: {', or '.join(ways)} (or leave it out with --drivers=...)"


def available(name: str) -> bool:
    """Whether `shared` has a source for it."""
    try:
        return bool(os.environ.get(KINDS[name].variable) or private(name))
    except ServerUnavailable:
        return False

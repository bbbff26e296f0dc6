"""A server that is there already, by its URL: it serves, and is not ours to break."""

from __future__ import annotations

from typing import NoReturn

from .kind import Kind
from .server import Server, ServerUnavailable


class Given(Server):
    """Somebody else's server. Its store is ours, and is emptied between tests."""

    def __init__(self, kind: Kind, url: str) -> None:
        self._kind = kind
        self.durable = kind.durable
        self.url = url

    def start(self) -> None:
        """It runs."""

    def empty(self) -> None:
        self._kind.empty(self.url)

    def close(self) -> None:
        """It stays as it is."""

    def stop(self) -> NoReturn:
        raise ServerUnavailable(f"the {self._kind.name} of {self._kind.variable} is not ours to break: use private()")

    kill9 = pause = resume = stop

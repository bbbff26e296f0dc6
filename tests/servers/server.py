"""What every server under test can do, wherever it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class ServerUnavailable(RuntimeError):
    """There is no such server to be had here; the text says what to install."""


class ServerFailed(RuntimeError):
    """The server did not start, or did not do what it was told; the text has the end of its log."""


class Server(ABC):
    """One real server that holds one store. All calls block, and return when what they say has happened.

    `url` stays the same for the server's whole life, over stop, kill and start. `durable`: what it has confirmed
    is there after `kill9`, too.
    """

    url: str
    durable: bool

    @abstractmethod
    def start(self) -> None:
        """It answers at `url`, with the data that it had. Nothing happens if it runs."""

    @abstractmethod
    def stop(self) -> None:
        """It has ended in order. Nothing happens if it is down."""

    @abstractmethod
    def kill9(self) -> None:
        """All its processes are gone, without a word."""

    @abstractmethod
    def pause(self) -> None:
        """All its processes stand still; connections stay open and nobody answers."""

    @abstractmethod
    def resume(self) -> None:
        """It goes on after `pause`."""

    @abstractmethod
    def empty(self) -> None:
        """The store at `url` is as new: what it held is gone, and so is who was still connected to it."""

    @abstractmethod
    def close(self) -> None:
        """It is down and nothing of it is left: no process, no file."""

    def restart(self) -> None:
        """It was stopped in order and answers again."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # also by Ctrl-C, while it starts
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

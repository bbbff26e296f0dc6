"""What there is to know about one kind of server, to start it natively or in a container."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals


class Kind(ABC):
    """One file of this folder per kind.

    name             the driver's name
    variable         the environment variable with the URL of a server that is there already
    package          the Debian package with the program
    image, port      the container's image, and where the server listens in it
    environment      what the container's image wants to be told
    arguments        what the server in the container is started with
    stop_signal      ends it in order
    maturing         seconds until what is new in it survives kill -9
    durable          it keeps what it has confirmed over kill -9
    light            it starts within a second, and several at a time are no burden
    """

    name: str
    variable: str
    package: str
    image: str
    port: int
    environment: Mapping[str, str] = {}
    arguments: Sequence[str] = ()
    stop_signal: Signals = Signals.SIGTERM
    durable: bool = True
    light: bool = False
    maturing: float = 0.0

    @abstractmethod
    def url(self, port: int) -> str:
        """The URL of a private server's store at this port of 127.0.0.1."""

    @abstractmethod
    def program(self) -> Path | None:
        """The server's program on this machine, if it is installed."""

    @abstractmethod
    def command(self, data: Path, port: int) -> list[str]:
        """What starts it on its data folder, in the foreground."""

    @abstractmethod
    def answers(self, port: int) -> bool:
        """Whether a server at this port of 127.0.0.1 would serve a client now. Raises OSError if nobody is there."""

    @abstractmethod
    def empty(self, url: str) -> None:
        """The store at this URL is as new, and nobody is connected to it."""

    def fresh(self, url: str) -> str:
        """The URL of a store that is as new; where names can be kept apart, it is not the one that was used before."""
        self.empty(url)
        return url

    def guest(self, url: str, password: str) -> str:
        """The name of a new user of the store at this URL who comes in with this password only, and may do all."""
        raise NotImplementedError(f"{self.name} knows no passwords")

    def remedy(self) -> str:
        """What to do where the program is missing."""
        return f"apt-get install {self.package}"

    def installation(self) -> Sequence[list[str]]:
        """The commands that install the program, where it is no Debian package."""
        return ()

    def user(self) -> str | None:
        """The user that it has to run as, if it refuses to run as the one that we are."""
        return None

    def preparation(self, data: Path) -> Sequence[list[str]]:
        """The commands that make an empty folder a data folder."""
        return ()

    def bury(self, data: Path) -> None:  # noqa: B027 - not abstract: most leave nothing
        """Remove what a killed server left outside its data folder."""

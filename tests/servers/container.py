"""A private server in a container, through testcontainers: for machines that have Docker and not the program."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .kind import Kind
from .ports import free_port
from .server import Server, ServerFailed, ServerUnavailable

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

PATIENCE = 60.0
"""Seconds that an image may take to arrive, and a server in it to answer."""


class Container(Server):
    """One container. Its reaper, a container too, removes it when this process dies."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.durable = kind.durable
        self._port = free_port()  # a fixed one: one chosen by Docker would change with every start
        self._made: DockerContainer | None = None
        self._paused = False
        self.url = kind.url(self._port)

    def start(self) -> None:
        if self._made is None:
            self._made = made(self._kind, self._port)
            self._made.start()
        elif self._state() != "running":
            self._made.get_wrapped_container().start()
        self._wait_until_it_answers()

    def stop(self) -> None:
        self.resume()
        if self._made and self._state() == "running":
            self._made.get_wrapped_container().stop()

    def kill9(self) -> None:
        self.resume()  # a frozen container cannot be killed
        if self._made and self._state() == "running":
            self._made.get_wrapped_container().kill()
            self._made.get_wrapped_container().wait()

    def pause(self) -> None:
        if self._made and self._state() == "running":
            self._made.get_wrapped_container().pause()

    def resume(self) -> None:
        if self._made and self._state() == "paused":
            self._made.get_wrapped_container().unpause()

    def empty(self) -> None:
        self._kind.empty(self.url)

    def close(self) -> None:
        if self._made:
            self._made.stop()  # its word for removing the container, by force
            self._made = None

    def _state(self) -> str:
        assert self._made
        self._made.reload()
        return self._made.status

    def _wait_until_it_answers(self) -> None:
        assert self._made
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._state() == "running":
            with suppress(OSError):
                if self._kind.answers(self._port):
                    return
            time.sleep(0.05)  # between two looks: a server says nowhere that it is ready
        log = b"".join(self._made.get_logs()).decode(errors="replace")
        self.close()
        raise ServerFailed(f"{self._kind.image} did not answer within {PATIENCE} s\n{log[-2000:]}")


def made(kind: Kind, port: int) -> DockerContainer:
    """A container that is not started yet. Raises `ServerUnavailable` if testcontainers or the image is missing."""
    try:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer
    except ImportError:
        raise ServerUnavailable("servers in containers need testcontainers: pip install testcontainers") from None
    fetch(kind.image)
    if not testcontainers_config.ryuk_disabled:
        fetch(testcontainers_config.ryuk_image)
    made = DockerContainer(kind.image).with_envs(**kind.environment).with_command(list(kind.arguments))
    ports: dict[str, Any] = made.ports  # its `with_bind_ports` would open the server to the whole network
    ports[f"{kind.port}/tcp"] = ("127.0.0.1", port)
    return made


def docker_answers() -> bool:
    """Whether there is a Docker to talk to."""
    return _docker("info", seconds=10)


def fetch(image: str) -> None:
    """The image is there. Raises `ServerUnavailable` if it is not, and does not come in time."""
    if not _docker("image", "inspect", image, seconds=10) and not _docker("pull", "--quiet", image, seconds=PATIENCE):
        raise ServerUnavailable(f"the image is not here and did not come within {PATIENCE} s: docker pull {image}")


def _docker(*arguments: str, seconds: float) -> bool:
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False

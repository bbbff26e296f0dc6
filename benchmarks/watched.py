"""As events.py, and somebody listens: `python -m benchmarks.watched URL`."""

from __future__ import annotations

import socket
import sys
from urllib.parse import urlsplit

from asyncdq.events import CHANNEL

from .events import producer

__all__ = ["producer"]

BESIDE = ["{python}", "-m", "benchmarks.watched", "{url}"]
SETTINGS = "the same, and another process subscribes and reads, without a look at what it reads"


def watch(url: str) -> None:
    """Subscribe and read for ever: who also decodes takes more of the two cores, and that is not the worker's cost."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(f"SUBSCRIBE {CHANNEL}\r\n".encode())
        while connection.recv(2**20):
            pass


if __name__ == "__main__":
    watch(sys.argv[1])

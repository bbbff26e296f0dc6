"""Ports for private servers."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port that nobody listens on and no client is given.

    Not from the range out of which the system takes clients' ports: while a server is down, a client that
    tries to reach it could be given that very port, and would then be connected to itself.
    """
    while True:
        port = random.randint(15_000, 30_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port

"""A slow network as a process: python -m benchmarks.proxy URL DELAY. The first line of its output is its port.

Threads, since an event loop waits in whole milliseconds: whatever wakes it in between makes a delay of one into two.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from urllib.parse import urlsplit

MOST = 2**16
"""Bytes that are passed on together."""


def carry(source: socket.socket, target: socket.socket, delay: float) -> None:
    """All that comes from one to the other, each piece `delay` seconds late, however many are on their way."""
    pieces: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
    threading.Thread(target=deliver, args=(pieces, target), daemon=True).start()
    piece = b"?"
    while piece:
        try:
            piece = source.recv(MOST)
        except OSError:
            piece = b""
        pieces.put((time.monotonic() + delay, piece))


def deliver(pieces: SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
    """Each piece at its time; an empty one is the end."""
    with suppress(OSError):  # the other side is gone
        while (due_piece := pieces.get())[1]:
            time.sleep(max(0.0, due_piece[0] - time.monotonic()))  # what is asked of this network
            target.sendall(due_piece[1])
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def main(url: str, delay: float) -> None:
    """Until it is ended."""
    place = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            client, _ = listening.accept()
            try:
                server = socket.create_connection((place.hostname, place.port))
            except OSError:
                client.close()
                continue
            for source, target in ((client, server), (server, client)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=carry, args=(source, target, delay), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

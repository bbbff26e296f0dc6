"""Redis, or Valkey where that is installed: one process, its data in an append-only file."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from .kind import Kind

# With `everysec` a reply may leave before its write does, while an earlier fsync is under way: killed then, the
# server forgets what it confirmed. Tests that count what was lost need a server that does not.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


class Redis(Kind):
    """Keeps what it has confirmed, also over kill -9."""

    name = "redis"
    variable = "ASYNCDQ_TEST_REDIS_URL"
    package = "redis-server"
    image = "redis:7"
    port = 6379
    arguments = ("redis-server", "--protected-mode", "no", *DURABLE)  # clients come over the container's network

    def url(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"

    def program(self) -> Path | None:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        return Path(found) if found else None

    def command(self, data: Path, port: int) -> list[str]:
        return [str(self.program()), "--port", f"{port}", "--bind", "127.0.0.1", "--dir", str(data), *DURABLE]

    def answers(self, port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")  # not while it loads its data

    def empty(self, url: str) -> None:
        import redis  # here: a session without Redis does not need the library

        with redis.Redis.from_url(url) as client:
            client.flushdb()

    def guest(self, url: str, password: str) -> str:
        import redis

        with redis.Redis.from_url(url) as client:
            client.execute_command("ACL", "SETUSER", "guest", "reset", "on", f">{password}", "~*", "&*", "+@all")
        return "guest"

"""RabbitMQ: one Erlang node under a name and in a folder of its own, beside any other of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from .folder import BASE
from .kind import Kind
from .ports import free_port
from .server import ServerUnavailable

# The system's wrapper would run the node as its own user, with the system's folders.
BEHIND_THE_WRAPPER = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"

_number = count()


def control(url: str, *arguments: str) -> str:
    """What rabbitmqctl says of the native server at this URL. Takes a second or two. Raises `ServerUnavailable`."""
    program, port = RabbitMQ().program(), urlsplit(url).port
    found = (conf for conf in BASE.glob("rabbitmq.*/data/rabbitmq.conf") if f":{port}\n" in conf.read_text())
    conf = next(found, None)
    if program is None or conf is None:
        raise ServerUnavailable("only a RabbitMQ that was started here natively can be told what to do")
    told = subprocess.run(
        [program.with_name("rabbitmqctl"), "--node", f"asyncdq-{port}@localhost", *arguments],
        env={"PATH": os.defpath, "HOME": str(conf.parent), "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return told.stdout


class RabbitMQ(Kind):
    """Without plugins. Tests do not share names: each gets an exchange name of its own, see `fresh`."""

    name = "rabbitmq"
    variable = "ASYNCDQ_TEST_RABBITMQ_URL"
    package = "rabbitmq-server"
    image = "rabbitmq:4"
    port = 5672
    maturing = 1.5  # 3.10 forgets on which name a quorum queue runs that is younger, and it never has a leader again

    def url(self, port: int) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port}/"

    def program(self) -> Path | None:
        pattern = BEHIND_THE_WRAPPER.lstrip("/")
        found = max(Path("/").glob(pattern), default=None) or shutil.which("rabbitmq-server")
        return Path(found) if found else None

    def preparation(self, data: Path) -> Sequence[list[str]]:
        cookie = f"umask 377 && echo asyncdq{os.urandom(8).hex()} > '{data}/.erlang.cookie'"
        plugins = f"echo '[].' > '{data}/enabled_plugins'"
        return [["sh", "-c", cookie], ["sh", "-c", plugins]]

    def command(self, data: Path, port: int) -> list[str]:
        config = data / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.local = 127.0.0.1:{port}\n"
            "loopback_users = none\n"
            "log.console = true\n"
            "disk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.absolute = 1GB\n"
        )
        settings = {
            "HOME": data,
            "RABBITMQ_NODENAME": f"asyncdq-{port}@localhost",
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_MNESIA_BASE": data / "mnesia",
            "RABBITMQ_MNESIA_DIR": data / "mnesia" / "node",
            "RABBITMQ_LOG_BASE": data,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": data / "pid",
            # Else its script waits beside the node, which lives on where the script is killed.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_CONFIG_FILE": config,
            "RABBITMQ_CONF_ENV_FILE": data / "none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": data / "enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": data / "config",
            "RABBITMQ_SCHEMA_DIR": data / "schema",
            "RABBITMQ_FEATURE_FLAGS_FILE": data / "feature_flags",
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), str(self.program())]

    def answers(self, port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"  # Connection.Start

    def empty(self, url: str) -> None:
        # No client can list queues. Tests take a `fresh` store, and are spared these seconds.
        control(url, "delete_vhost", "/")
        control(url, "add_vhost", "/")
        control(url, "set_permissions", "guest", ".*", ".*", ".*")

    def fresh(self, url: str) -> str:
        # Only the heartbeat tells the broker that a worker is frozen: after twice these seconds.
        options = {"exchange_name": f"t{os.getpid()}-{next(_number)}", "heartbeat": "2"}
        return urlsplit(url)._replace(query=urlencode(options)).geturl()

    def guest(self, url: str, password: str) -> str:
        control(url, "add_user", "visitor", password)  # `guest` is who we are
        control(url, "set_permissions", "visitor", ".*", ".*", ".*")
        return "visitor"

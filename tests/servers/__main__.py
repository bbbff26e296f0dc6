"""Run a command on a real server: python -m tests.servers redis -- COMMAND...

On the one that the settings name, if they name one; else on a private one, which ends with the command. The emulator
of SQS is installed into `.venvs` for that, if it is not there. ASYNCDQ_URL leads the command there. The exit code is
the command's; 1 if no server can be had.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from asyncdq import AsyncdqError, Settings

from .install import install_by_itself
from .server import Server, ServerFailed, ServerUnavailable
from .sources import CHOICE, KINDS, private

PLACES = ("url", "dsn", "password", "db", "region", "endpoint_url", "queue_url_prefix")
"""The options of a driver that say where its server is. Who sets the size of a pool has named no server."""


def main(arguments: Sequence[str]) -> int:
    """The exit code of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description="Run a command on a real server.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    asked = parser.parse_args(arguments)
    try:
        if url := configured(asked.kind):
            return run(asked.command, asked.kind, url)
        with obtained(asked.kind) as server:
            print(f"{asked.kind}: a private server, {server.url}", flush=True)
            return run(asked.command, asked.kind, server.url)
    except ServerUnavailable:
        print(
            f"error: no {asked.kind} server: set ASYNCDQ_URL to one, {KINDS[asked.kind].remedy()}, or start Docker",
            file=sys.stderr,
        )
    except (AsyncdqError, ServerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def obtained(kind: str) -> Server:
    """A private server, whose program is installed where that changes nothing outside this checkout.

    Raises `ServerUnavailable`.
    """
    try:
        return private(kind)
    except ServerUnavailable:
        own = os.environ.get(CHOICE) != "docker" and KINDS[kind].installation()
        if not own or install_by_itself(KINDS[kind], "a private server needs"):
            raise
    return private(kind)


def configured(kind: str) -> str | None:
    """The URL of the server of this kind that the environment, .env or pyproject.toml name. Holds secrets."""
    settings = Settings()
    if "url" in settings.model_fields_set:
        return settings.driver_url() if settings.driver == kind else None
    named = settings.model_fields_set & {f"{kind}_{place}" for place in PLACES}
    return Settings(driver=kind).driver_url() if named else None


def run(command: Sequence[str], kind: str, url: str) -> int:
    """Its exit code, 128 + n if signal n ended it. While it runs, signals are for it and not for us."""
    process: subprocess.Popen[bytes] | None = None
    told: list[int] = []

    def tell(number: int, _: object) -> None:
        told.append(number)
        if process is not None:
            process.send_signal(number)

    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command as well
    signal.signal(signal.SIGTERM, tell)
    process = subprocess.Popen(command, env={**os.environ, "ASYNCDQ_DRIVER": kind, "ASYNCDQ_URL": url})
    if told:  # while the command was being started
        process.send_signal(told[0])
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Install the servers that the tests miss: python -m tests.servers.install [what pytest is given].

On Debian and Ubuntu, as root: it says what it does, and does it; no service is started. Otherwise, or with
ASYNCDQ_TEST_INSTALL=0, it says what to do, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .sources import CHOICE, KINDS, available, missing

POLICY = Path("/usr/sbin/policy-rc.d")
FORBID = "#!/bin/sh\n# while the tests of asyncdq install servers\nexit 101\n"

INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "--no-remove")

WELCOME = ("faketime", "pgbouncer")
"""Come along when servers are installed. Without them, the tests that want them are skipped and say so."""


def main(arguments: Sequence[str]) -> int:
    """0 if every server that the tests need can be had now."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--drivers", default=",".join(KINDS))
    parser.add_argument("--servers", default=os.environ.get(CHOICE, ""))
    asked, _ = parser.parse_known_args(arguments)
    os.environ[CHOICE] = asked.servers
    wanted = [kind for name, kind in KINDS.items() if name in asked.drivers.split(",")]
    absent = [kind for kind in wanted if not available(kind.name)]
    if not absent:
        return 0
    if asked.servers == "docker" or not shutil.which("apt-get"):
        return _refuse(*(missing(kind, asked.servers) for kind in absent))
    return install([kind.package for kind in absent])


def install(packages: Sequence[str]) -> int:
    """The exit code of apt-get; 2 if we may not call it."""
    command = [*INSTALL, *packages]
    if os.geteuid() != 0 or os.environ.get("ASYNCDQ_TEST_INSTALL") == "0":
        skip = "or set ASYNCDQ_TEST_REDIS_URL and ASYNCDQ_TEST_POSTGRES_DSN, or leave them out: --drivers=sqlite"
        return _refuse(f"the tests need {' and '.join(packages)}:", f"    sudo {shlex.join(command)}", skip)
    command += WELCOME
    print(f"the tests need {' and '.join(packages)}: {shlex.join(command)}", flush=True)
    with no_service_starts(POLICY):
        return _run("apt-get", "update", "-qq") or _run(*command)


@contextmanager
def no_service_starts(policy: Path) -> Iterator[None]:
    """While this lasts, packages that are installed start nothing. A policy that is there comes back afterwards."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    saved = policy.with_name(f"{policy.name}.before-asyncdq")
    if policy.exists() and policy.read_text() != FORBID:  # not what a killed run of ours left
        policy.rename(saved)
    policy.write_text(FORBID)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
        if saved.exists():
            saved.rename(policy)
        signal.signal(signal.SIGTERM, before)


def _run(*command: str) -> int:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, stdin=subprocess.DEVNULL, env=quiet).returncode


def _refuse(*lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

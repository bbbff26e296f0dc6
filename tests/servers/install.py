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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .kind import Kind
from .sources import CHOICE, KINDS, available, missing

POLICY = Path("/usr/sbin/policy-rc.d")
FORBID = "#!/bin/sh\n# while the tests of asyncdq install servers\nexit 101\n"

INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "--no-remove")

WELCOME = {"faketime": set(KINDS), "pgbouncer": {"postgres"}, "openssl": {"redis", "postgres", "rabbitmq"}}
"""Programs that the tests of these servers want, too. Where they cannot be had, those tests are skipped and say so."""


def main(arguments: Sequence[str]) -> int:
    """0 if every server that the tests need can be had now."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--drivers", default=",".join(KINDS))
    parser.add_argument("--servers", default=os.environ.get(CHOICE, ""))
    asked, _ = parser.parse_known_args(arguments)
    os.environ[CHOICE] = asked.servers
    wanted = [kind for name, kind in KINDS.items() if name in asked.drivers.split(",")]
    absent = [kind for kind in wanted if not available(kind.name)]
    by_itself = [kind for kind in absent if kind.installation()]
    packages = [kind.package for kind in absent if not kind.installation()]
    if absent and (asked.servers == "docker" or (packages and not shutil.which("apt-get"))):
        return _refuse(*(missing(kind, asked.servers) for kind in absent))
    code = _ask_for(packages) if packages else 0
    for kind in by_itself:
        code = code or install_by_itself(kind)
    if not code and _may_install() and (welcome := _welcome(kind.name for kind in wanted)):
        install(welcome)
    return code


def install_by_itself(kind: Kind, why: str = "the tests need") -> int:
    """The exit code of the command that failed, 0 if none did; 2 if we may not call them."""
    lines = [shlex.join(command) for command in kind.installation()]
    if os.environ.get("ASYNCDQ_TEST_INSTALL") == "0":
        skip = f"or set {kind.variable}, or leave it out: --drivers=sqlite"
        return _refuse(f"{why} {kind.package}:", *(f"    {line}" for line in lines), skip)
    print(f"{why} {kind.package}: {' && '.join(lines)}", flush=True)
    return next((code for command in kind.installation() if (code := _run(*command))), 0)


def _ask_for(packages: Sequence[str]) -> int:
    """The exit code of apt-get; 2 if we may not call it."""
    if not _may_install():
        named = [kind.variable for kind in KINDS.values() if kind.package in packages]
        skip = f"or set {' and '.join(named)}, or leave them out: --drivers=sqlite"
        command = shlex.join([*INSTALL, *packages])
        return _refuse(f"the tests need {' and '.join(packages)}:", f"    sudo {command}", skip)
    return install(packages)


def _welcome(drivers: Iterable[str]) -> list[str]:
    """What the tests of these drivers want and is not there."""
    places, wanted = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin", set(drivers)
    return [name for name, wants in WELCOME.items() if wants & wanted and shutil.which(name, path=places) is None]


def _may_install() -> bool:
    return os.geteuid() == 0 and os.environ.get("ASYNCDQ_TEST_INSTALL") != "0" and shutil.which("apt-get") is not None


def install(packages: Sequence[str]) -> int:
    """The exit code of apt-get."""
    command = [*INSTALL, *packages]
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

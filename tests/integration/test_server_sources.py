"""Where the servers of the tests come from, and what is said and done when one is missing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import KINDS, Server
from tests.servers.install import FORBID, no_service_starts
from tests.servers.sources import CHOICE

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A Python that has the tests' servers, run to its end."""
    given = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    return subprocess.run([sys.executable, *arguments], env=given, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("own_server", ["redis"], indirect=True)
def test_a_given_url_goes_before_all_other_sources(own_server: Server) -> None:
    given = {kind.variable: own_server.url for kind in KINDS.values()}
    code = "from tests.servers import KINDS, shared; print(*(shared(name).url for name in KINDS))"
    child = python("-c", code, environment=given)
    assert child.stdout.split() == [own_server.url] * len(KINDS)


def test_a_missing_server_is_asked_for_by_the_name_of_its_package(tmp_path: Path) -> None:
    (tmp_path / "apt-get").symlink_to("/bin/false")
    nothing = {"PATH": str(tmp_path), "ASYNCDQ_TEST_INSTALL": "0", CHOICE: "", KINDS["redis"].variable: ""}
    child = python("-m", "tests.servers.install", "-k", "lease", "--drivers=sqlite,redis", environment=nothing)
    assert child.returncode == 2
    assert "sudo apt-get install -y --no-install-recommends --no-remove redis-server\n" in child.stderr


def test_a_server_that_cannot_be_had_says_what_to_do(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), CHOICE: ""}
    child = python("-c", "from tests.servers import private; private('redis')", environment=nothing)
    assert "ServerUnavailable: no redis server for the tests: apt-get install redis-server, or set" in child.stderr


def test_nothing_is_asked_for_when_the_selected_drivers_have_their_servers() -> None:
    child = python("-m", "tests.servers.install", "--drivers=sqlite")
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 104\n", FORBID])
def test_packages_that_are_installed_start_no_service(before: str | None, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    if before:
        policy.write_text(before)
    with no_service_starts(policy):
        assert stat.S_IMODE(policy.stat().st_mode) == 0o755
        assert subprocess.run([policy, "redis-server", "start"]).returncode == 101
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left == ({"policy-rc.d": before} if before and before != FORBID else {})


def test_a_policy_that_was_there_comes_back_also_after_sigterm(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")
    with pytest.raises(SystemExit), no_service_starts(policy):
        signal.raise_signal(signal.SIGTERM)
    assert policy.read_text() == "mine"


def test_the_tests_can_be_run_on_some_drivers_only_but_not_in_ci() -> None:
    tests = ["-m", "pytest", "--collect-only", "-q", "tests/unit/test_retry.py"]
    selected = python(*tests, "--drivers=sqlite", environment={"CI": ""})
    in_ci = python(*tests, "--drivers=sqlite", environment={"CI": "1"})
    unknown = python(*tests, "--drivers=mongo")
    assert (selected.returncode, in_ci.returncode, unknown.returncode) == (0, 4, 4)
    assert "where CI is set, all drivers are tested" in in_ci.stderr
    assert "there is no mongo; known are: sqlite, redis" in unknown.stderr

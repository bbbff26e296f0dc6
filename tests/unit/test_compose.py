"""compose.yaml: servers that the default settings find."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers import KINDS

FILE = Path(__file__).resolve().parents[2] / "compose.yaml"


def nested(text: str) -> dict[str, Any]:
    """What the file says, if it keeps to two spaces a level, one name a line, and values as JSON writes them."""
    root: dict[str, Any] = {}
    open_levels = [root]
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"((?:  )*)([A-Za-z_]+):(?: (\S.*))?", line)
        assert found, f"neither a name with a value nor a comment: {line!r}"
        level = len(found[1]) // 2
        assert level < len(open_levels), f"deeper than what it belongs to: {line!r}"
        inner: dict[str, Any] = {}
        parent = open_levels[level]
        assert found[2] not in parent, f"twice: {line!r}"
        parent[found[2]] = json.loads(found[3]) if found[3] else inner
        open_levels[level + 1 :] = [] if found[3] else [inner]
    return root


SERVICES: dict[str, Any] = nested(FILE.read_text("utf-8"))["services"]


def test_every_kind_of_server_is_in_it() -> None:
    assert set(SERVICES) == set(KINDS)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_at_its_standard_port_of_this_machine_only(name: str) -> None:
    port = KINDS[name].port
    assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_when_it_is_healthy(name: str) -> None:
    assert {"test", "interval", "timeout", "retries"} == SERVICES[name]["healthcheck"].keys()
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD-SHELL"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_what_the_tests_start(name: str) -> None:
    assert SERVICES[name]["image"] == KINDS[name].image
    assert SERVICES[name].get("environment", {}) == KINDS[name].environment


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_keeps_its_data_in_a_volume_that_is_declared(name: str) -> None:
    volumes = [volume.split(":")[0] for volume in SERVICES[name]["volumes"]]
    assert volumes
    assert set(volumes) <= set(nested(FILE.read_text("utf-8"))["volumes"])


def test_docker_compose_understands_it() -> None:
    compose = ["docker", "compose", "--file", str(FILE), "config", "--quiet"]
    if not shutil.which("docker") or subprocess.run([*compose[:2], "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    answer = subprocess.run(compose, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    "text", ["a:\n    b: 1", "a: 1\n  b: 1", "a: 1\na: 1", "a: [1", "a:\n\tb: 1", "- a", "a: yes", "a:1"]
)
def test_what_is_not_written_so_is_refused(text: str) -> None:
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        nested(text)

"""Which tests run in the same process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.together import group_of

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("driver", ["redis", "postgres"])
def test_it(driver, number):
    Path(driver, str(number)).write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_one_process_runs_all_tests_of_a_server_and_another_those_of_another(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.servers.together import pytest_xdist_make_scheduler")
    (tmp_path / "test_some.py").write_text(TESTS)
    drivers = [tmp_path / "redis", tmp_path / "postgres"]
    for driver in drivers:
        driver.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--rootdir=.", "-c", os.devnull, "test_some.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    ran_in = [[(driver / str(number)).read_text() for number in range(5)] for driver in drivers]
    assert sorted(map(set, ran_in), key=sorted) == [{"gw0"}, {"gw1"}]


@pytest.mark.parametrize(
    ("node", "group"),
    [
        ("tests/integration/test_redis.py::test_it", "redis"),
        ("tests/integration/test_cli.py::test_it[rabbitmq-1]", "rabbitmq"),
        ("tests/integration/test_cli.py::test_it[sqs]", "sqs test_cli.py"),  # light: several at a time are no burden
        ("tests/typing/test_typing.py::test_it[mypy]", "test_typing.py"),
    ],
)
def test_what_shares_something_is_a_group(node: str, group: str) -> None:
    assert group_of(node) == group


@pytest.mark.parametrize(
    "node", ["tests/unit/test_url.py::test_it[1]", "tests/integration/test_cli.py::test_it[sqlite]"]
)
def test_what_shares_nothing_is_alone(node: str) -> None:
    assert group_of(node) == node

"""What anybody can type: every command obeys it or refuses it in one line, whatever it is."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from asyncdq.cli.app import run
from asyncdq.settings import options

from .test_fuzz import texts

pytestmark = pytest.mark.usefixtures("nowhere")
few = hypothesis(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


COMMANDS = [
    ["worker"],
    ["enqueue"],
    ["queues"],
    ["purge"],
    ["migrate"],
    ["events"],
    ["dead", "list"],
    ["dead", "requeue"],
    [],
]
words = texts | st.sampled_from(
    [*(option.flag for option in options()), "-q", "-c", "-x", "--", "--yes", "--json", "--limit", "--id"]
)


@given(st.sampled_from(COMMANDS), st.lists(words, max_size=5))
@few
def test_any_command_line_is_obeyed_or_refused_in_one_line(command: list[str], words: list[str]) -> None:
    out, errors = io.StringIO(), io.StringIO()
    # Nothing is ever reached: the folder that the database should be in is not there.
    with redirect_stdout(out), redirect_stderr(errors):
        code = run([*command, *words, "--sqlite-path", "/nowhere/at/all.db"])
    assert code in (0, 1, 2)
    assert code == 0 or (errors.getvalue().startswith("error: ") and errors.getvalue().count("\n") == 1)


ODD = ["\0", "\n", "٣", "-1", "0", "1e999", "nan", "-inf", "9" * 5000, "x" * 50_000, "[" * 50_000, "[NaN]", "\ud800"]
EVERY_VALUE = [
    *(["enqueue", f"--{name}=", "t"] for name in ("queue", "id", "delay", "max-attempts", "timeout", "retry-delay")),
    ["enqueue", "--visibility-timeout=", "t"],
    ["enqueue", "--", ""],
    ["enqueue", "--", "t", ""],
    ["purge", "--yes", "--", ""],
    ["migrate", "--config="],
    ["queues", "--queues="],
    ["worker", "--", ""],
    ["worker", "--grace-period="],
    ["events", "--url", "redis://127.0.0.1:1", "--redis-db="],
    ["dead", "list", "q", "--limit="],
    ["dead", "show", "--", "q", ""],
    ["dead", "requeue", "--", "q", ""],
    ["dead", "delete", "--yes", "--", "", "1"],
]


@pytest.mark.parametrize("command", EVERY_VALUE, ids=" ".join)
def test_any_odd_value_in_a_command_is_taken_or_refused_in_one_short_line(command: list[str]) -> None:
    for value in ["", *ODD]:
        words = [f"{word}{value}" if word == "" or word.endswith("=") else word for word in command]
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = run(words)
        said = errors.getvalue()
        assert code in (0, 1, 2)
        assert code == 0 or (said.startswith("error: ") and said.count("\n") == 1 and len(said) < 1100)

"""A line of the log in JSON: one object, whatever a program adds to it."""

from __future__ import annotations

import io
import json
import logging
from typing import Any, NoReturn

import pytest

from asyncdq.cli.logs import JsonFormatter


class Silent:
    """Has no text."""

    def __str__(self) -> NoReturn:
        raise KeyError("no text")


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def logged(extra: dict[Any, Any]) -> dict[str, Any]:
    """What stands in the line of a record with `extra`."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("program")
    logger.addHandler(handler)
    logger.info("said", extra=extra)
    (line,) = stream.getvalue().splitlines()
    fields: dict[str, Any] = json.loads(line, parse_constant=refuse)
    assert (fields["message"], fields["logger"], fields["level"]) == ("said", "program", "info")
    return fields


circle: list[Any] = []
circle.append(circle)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": [1, None, "\ud800"]}, {"a": [1, None, "\ud800"]}),
        ({"a": {1, 2}}, {"a": "{1, 2}"}),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (float("nan"), "nan"),
        ([1, float("-inf")], "[1, -inf]"),
        (circle, "[[...]]"),
        (Silent(), "? (KeyError)"),
        (10**5000, "? (ValueError)"),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_json_cannot_have_is_written_as_its_text(value: object, written: object) -> None:
    fields = logged({"odd": value, "other": [1.5]})
    assert (fields["odd"], fields["other"]) == (written, [1.5])


def test_a_name_that_is_no_text_is_written_as_its_text() -> None:
    assert logged({(1, 2): 3, "odd": float("inf")})["(1, 2)"] == 3

"""Arguments on the command line: what `asyncdq dead show` prints is what `asyncdq enqueue` takes."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from asyncdq.cli.dead import arguments, typed
from asyncdq.cli.enqueue import parse
from asyncdq.envelope import Envelope, encode
from asyncdq.errors import InvalidCall
from asyncdq.message import DeadLetter
from asyncdq.names import shown
from asyncdq.serializers import load

from .test_serializers import shape, tags, values


def printed(args: list[Any], kwargs: dict[str, Any], serializer: str) -> str:
    """What `dead show` prints of a call, before it is cut."""
    written = load(serializer)
    body = encode(Envelope("t", written.content_type, written.dumps([args, kwargs]), {}, {}))
    return shown(typed(arguments(DeadLetter("1", "q", body, "attempts", "", "", 1, 0.0))))


@given(st.lists(values, max_size=3), st.dictionaries(st.text() | tags, values, max_size=3))
@hypothesis(deadline=None)
@pytest.mark.parametrize("serializer", ["msgpack", "json"])
def test_what_is_shown_of_a_dead_letter_can_be_enqueued(
    serializer: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    again, named = parse(printed(args, kwargs, serializer))
    assert (shape([*again]), shape(named)) == (shape(args), shape(kwargs))


def test_what_cannot_be_printed_is_escaped_as_json_has_it() -> None:
    odd = "\x7f\x9b\u202e\u2028\U000e0001 \u3000 ü"
    text = printed([odd], {}, "msgpack")
    assert text == r'["\u007f\u009b\u202e\u2028\udb40\udc01 ' + '\u3000 ü"]'
    assert parse(text) == ((odd,), {})


def test_positional_and_named_arguments_stand_one_after_the_other() -> None:
    text = '[{"$date": "2026-01-31"}, {"$bytes": "eA=="}] {"k": 1}'
    assert printed([date(2026, 1, 31), b"x"], {"k": 1}, "msgpack") == text
    assert parse(text) == ((date(2026, 1, 31), b"x"), {"k": 1})
    assert parse(' [1]\n{"k": {"$map": [["$date", 1]]}}\n') == ((1,), {"k": {"$date": 1}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ARGS_JSON is not JSON: Expecting value: line 1 column 1"),
        ('[1] {"k"', "ARGS_JSON is not JSON: Expecting ':' delimiter: line 1 column 9"),
        ("[1] [2]", "ARGS_JSON is a JSON list or object, or the one and then the other, such as"),
        ("{} []", "ARGS_JSON is a JSON list or object"),
        ("[] {} {}", "ARGS_JSON is a JSON list or object"),
        ('{"$date": "2026-01-31"}', "ARGS_JSON is a JSON list or object"),
        ('{"$map": [[1, 2]]}', "ARGS_JSON is a JSON list or object"),
        ('[{"$oid": "1"}]', "ARGS_JSON: the arguments are not readable JSON: the tag '$oid' is not known here"),
        ("[NaN]", "ARGS_JSON: the arguments are not readable JSON: NaN is not JSON"),
        ('["\ud800"]', "ARGS_JSON: 'utf-8' codec can't encode"),
        ("[" * 50_000, "ARGS_JSON is nested too deeply"),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_other_arguments_are_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        parse(text)
    assert str(caught.value).startswith(message)

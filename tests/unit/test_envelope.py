"""The envelope: read as it was written, and nothing else is ever taken for one."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdq.envelope import VERSION, Envelope, decode, encode
from asyncdq.errors import NewerEnvelope, UndecodableBody, UnserializableArgument

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "wire-format.md"

seconds = st.floats(0, 1e12) | st.integers(0, 10**9)
options = st.fixed_dictionaries(
    {},
    optional={
        "enqueued_at": st.floats(0, 4e9),
        "max_attempts": st.integers(1, 2**63),
        "retry_delay": seconds,
        "timeout": st.floats(0.001, 1e9) | st.integers(1, 10**9),
        "visibility_timeout": st.floats(0.1, 1e9) | st.integers(1, 10**9),
        "of a later release": st.text() | st.lists(st.integers(0, 9)),
    },
)
envelopes = st.builds(Envelope, st.text(), st.text(), st.binary(), options, st.dictionaries(st.text(), st.text()))


def fields(**changes: Any) -> bytes:
    """A good body, with some of its fields replaced."""
    good = {"version": 1, "task": "a.b", "content_type": "c", "args": b"", "options": {}, "headers": {}}
    return msgpack.packb(list({**good, **changes}.values()))


@given(envelopes)
@settings(deadline=None)
def test_an_envelope_is_read_as_it_was_written(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_random_bytes_are_undecodable_or_newer(body: bytes) -> None:
    with pytest.raises((UndecodableBody, NewerEnvelope)):
        decode(body)


@given(envelopes, st.integers(0, 300), st.binary(max_size=4), st.integers(0, 4))
@settings(deadline=None)
def test_a_damaged_body_is_read_undecodable_or_newer(envelope: Envelope, cut: int, put: bytes, skip: int) -> None:
    body = encode(envelope)
    with suppress(UndecodableBody, NewerEnvelope):
        assert isinstance(decode(body[:cut] + put + body[cut + skip :]), Envelope)


NEWER = {
    "alone": b"\x91\x02",
    "with other fields": msgpack.packb([2, {"task": 1}, None]),
    "far newer": fields(version=2**63),
    "with what follows cut off": b"\x96\x02\xda",
    "with an extension and an odd key": msgpack.packb([2, msgpack.ExtType(5, b""), {(): 1}]),
    "with a longer array": b"\xdd\x00\x00\x00\x03\x02\xdd\x00\x10\x00\x00",
}


@pytest.mark.parametrize("what", NEWER)
def test_a_newer_version_is_newer_whatever_follows_it(what: str) -> None:
    with pytest.raises(NewerEnvelope, match="upgrade the worker"):
        decode(NEWER[what])


WRONG = {
    "nothing": b"",
    "one integer": b"\x05",
    "bytes that begin with a two": b"\xc4\x01\x02",
    "a map with a version": b"\x81\x00\x02",
    "no fields": b"\x90",
    "version 0": fields(version=0),
    "a negative version": fields(version=-1),
    "a version that is true": fields(version=True),
    "a version that is a float": fields(version=2.0),
    "five fields": msgpack.packb([1, "a", "b", b"", {}]),
    "seven fields": msgpack.packb([1, "a", "b", b"", {}, {}, 0]),
    "something behind it": fields() + b"\0",
    "a task that is bytes": fields(task=b"a"),
    "arguments that are text": fields(args="a"),
    "options that are a list": fields(options=[]),
    "headers that are nothing": fields(headers=None),
    "a header that is a number": fields(headers={"a": 1}),
    "a header of bytes": fields(headers={b"a": "1"}),
    "an option without a name": fields(options={1: 1}),
    "an endless list": b"\x96\x01\xa1a\xa1a\xc4\x00\x81\xa1a\xdd\x7f\xff\xff\xff",
    "lists in lists": b"\x96\x01\xa1a\xa1a\xc4\x00\x81\xa1a" + b"\x91" * 5000,
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_envelope_is_undecodable(what: str) -> None:
    with pytest.raises(UndecodableBody):
        decode(WRONG[what])


@pytest.mark.parametrize("key", ["enqueued_at", "retry_delay", "timeout", "visibility_timeout"])
@pytest.mark.parametrize("value", ["1", None, True, -1, math.nan, math.inf, [1]], ids=repr)
def test_a_duration_that_is_none_is_undecodable(key: str, value: object) -> None:
    with pytest.raises(UndecodableBody, match=f"the option {key} of the envelope cannot be"):
        decode(fields(options={key: value}))


@pytest.mark.parametrize("value", ["1", None, True, 0, -1, 1.0], ids=repr)
def test_attempts_that_are_no_count_are_undecodable(value: object) -> None:
    with pytest.raises(UndecodableBody, match="the option max_attempts of the envelope cannot be"):
        decode(fields(options={"max_attempts": value}))


def test_a_time_that_no_calendar_has_is_undecodable() -> None:
    with pytest.raises(UndecodableBody, match="enqueued_at"):
        decode(fields(options={"enqueued_at": 1e15}))


def test_an_option_of_a_later_release_is_kept() -> None:
    assert decode(fields(options={"later": [1, {"a": None}]})).options == {"later": [1, {"a": None}]}


@pytest.mark.parametrize(("task", "options"), [("\ud800", {}), ("a", {"timeout": object()}), ("a", {"n": 2**80})])
def test_what_msgpack_lacks_is_an_error_of_the_writer(task: str, options: dict[str, Any]) -> None:
    with pytest.raises(UnserializableArgument, match="cannot write the envelope of task"):
        encode(Envelope(task, "c", b"", options, {}))


def test_the_examples_of_the_document_are_what_is_written_and_read() -> None:
    examples = re.findall(r"```envelope\n([0-9a-f]+)\n```", DOCUMENT.read_text(encoding="utf-8"))
    packed = msgpack.packb([["a@example.com"], {"subject": "Hi"}])
    given = {"enqueued_at": 1767225600.0, "max_attempts": 5}
    text = b'[["a@example.com"],{"subject":"Hi"}]'
    expected = [
        Envelope("emails.send", "application/msgpack", packed, given, {}),
        Envelope("emails.send", "application/json", text, {}, {}),
    ]
    assert [decode(bytes.fromhex(example)) for example in examples] == expected
    assert [encode(envelope).hex() for envelope in expected] == examples


def test_the_document_names_the_version_that_is_written() -> None:
    assert f"| version | integer | {VERSION} |" in DOCUMENT.read_text(encoding="utf-8")

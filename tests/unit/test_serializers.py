"""Serializers: what goes in comes out, what cannot go in says why, and bytes of anybody's do no harm."""

from __future__ import annotations

import math
import re
import sys
import tracemalloc
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from traceback import format_exception
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgpack import ExtType, packb
from pydantic import BaseModel

from asyncdq.errors import ConfigurationError, UndecodableBody, UnserializableArgument
from asyncdq.serializers import Serializer, load
from asyncdq.serializers.kinds import KINDS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "wire-format.md"
CALL = [["a@example.com"], {"subject": "Hi"}]

EXAMPLES: dict[str, object] = {
    "int": 2**64,
    "datetime": datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=2))),
    "date": date(2026, 1, 31),
    "time": time(12, 30),
    "timedelta": timedelta(days=1, seconds=30),
    "uuid": UUID("0198c3a2-5b7e-7d10-8a4c-2f6e91b7d003"),
    "decimal": Decimal("10.50"),
    "set": {1},
    "frozenset": frozenset({"a"}),
    "tuple": (1, "a"),
    "bytes": b"\x00\xff",
    "float": math.inf,
    "map": {1: "a"},
}


@pytest.fixture(params=["msgpack", "json"])
def serializer(request: pytest.FixtureRequest) -> Serializer:
    return load(request.param)


# Fixed offsets, as zones come back: to the second, which is what ISO 8601 of Python carries.
zones = st.none() | st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
keys = st.recursive(leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
tags = st.sampled_from([f"${name}" for name in EXAMPLES] + ["$", "$unknown"])
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(tags, inner, max_size=1)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
    ),
    max_leaves=15,
)


def shape(value: object) -> object:
    """`value` with its types, because 1 == 1.0 == True and a set equals a frozenset."""
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(shape(item)) for item in value)
    return type(value), repr(value) if not isinstance(value, (datetime, time)) else value.isoformat()


@given(value=values)
@example(value=[[(1, (2, {3: b"\xff"}))], {}])
@example(value={"$map": [["$date", "x"]]})
@settings(deadline=None)
@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_what_goes_in_comes_out_with_its_types(name: str, value: object) -> None:
    serializer = load(name)
    assert shape(serializer.loads(serializer.dumps(value))) == shape(value)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_kind_comes_back_as_itself(serializer: Serializer, kind: str) -> None:
    back = serializer.loads(serializer.dumps([[EXAMPLES[kind]], {"a": EXAMPLES[kind]}]))
    assert shape(back) == shape([[EXAMPLES[kind]], {"a": EXAMPLES[kind]}])


def test_every_kind_of_the_table_has_an_example() -> None:
    assert {kind.name for kind in KINDS} <= set(EXAMPLES)
    assert [kind.code for kind in KINDS] == list(range(1, len(KINDS) + 1))


@pytest.mark.parametrize(
    "value",
    [-(2**63) - 1, -(10**40), 2**200_000, -(2**63), 2**64 - 1],
    ids=["-2^63-1", "-10^40", "2^200000", "-2^63", "2^64-1"],
)
def test_an_integer_may_have_any_number_of_digits(serializer: Serializer, value: int) -> None:
    assert serializer.loads(serializer.dumps(value)) == value


@pytest.mark.parametrize("value", [math.nan, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), -0.0])
def test_odd_numbers_keep_their_oddness(serializer: Serializer, value: object) -> None:
    assert repr(serializer.loads(serializer.dumps([value]))) == repr([value])


def test_a_zone_becomes_its_offset(serializer: Serializer) -> None:
    berlin = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    back = serializer.loads(serializer.dumps(berlin))
    assert isinstance(back, datetime)
    assert (back, back.tzinfo) == (berlin, timezone(timedelta(hours=2)))


class Color(Enum):
    RED = "red"
    POINT = (1, 2)


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    YES = "yes"


@dataclass(frozen=True)
class Point:
    x: int
    y: Path


class User(BaseModel):
    name: str
    seen: datetime
    color: Color = Color.RED


class Moment(datetime):
    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return "for people"


Pair = namedtuple("Pair", "left right")

PLAIN_FORMS: list[tuple[object, object]] = [
    (Path("a/b"), "a/b"),
    (Color.RED, "red"),
    (Color.POINT, (1, 2)),
    (Level.HIGH, 3),
    (Word.YES, "yes"),
    ({Word.YES: 1}, {"yes": 1}),
    ({Level.HIGH: 1}, {3: 1}),
    (Point(1, Path("p")), {"x": 1, "y": "p"}),
    (User(name="Ann", seen=datetime(2026, 1, 1)), {"name": "Ann", "seen": datetime(2026, 1, 1), "color": "red"}),
    (Pair(1, (2,)), (1, (2,))),
    (OrderedDict(a=1), {"a": 1}),
    (Moment(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    (bytearray(b"a"), b"a"),
    (memoryview(b"a"), b"a"),
]


@pytest.mark.parametrize(("value", "plain"), PLAIN_FORMS)
def test_what_an_annotation_restores_is_written_in_plain_form(
    serializer: Serializer, value: object, plain: object
) -> None:
    assert shape(serializer.loads(serializer.dumps([[value], {}]))) == shape([[plain], {}])


def circle() -> list[object]:
    value: list[object] = []
    value.append({"again": (value,)})
    return value


class Broken(BaseModel):
    def model_dump(self, **_: Any) -> dict[str, Any]:
        raise OSError("the disk is gone")


REFUSED: list[tuple[object, str]] = [
    (object(), "object at argument 0: "),
    ({"a": [lambda: 0]}, "function at argument 0['a'][0]: "),
    (sys.stdout, "TextIOWrapper at argument 0: |EncodedFile at argument 0: |IO at argument 0: "),
    (circle(), "argument 0[0]['again'][0]: it contains itself"),
    ("\ud800", "str at argument 0: its text has half of a surrogate pair"),
    ({"\udfff": 1}, "half of a surrogate pair"),
    ({object(): 1}, "cannot write object at argument 0"),
    ({Point(1, Path())}, "set at argument 0: its members are written as maps"),
    ({(1, Point(1, Path()))}, "set at argument 0: its members are written as maps"),
    ({Point(1, Path()): 1}, "dict at argument 0: one of its keys is written as a map"),
    ({(1, Point(1, Path())): 1}, "dict at argument 0: one of its keys is written as a map, "),
    (time(12, tzinfo=ZoneInfo("Europe/Berlin")), "datetime.time at argument 0: .*pass a datetime"),
    (Broken(), "Broken at argument 0: the disk is gone"),
    (Point, "type at argument 0: "),
    (range(3), "range at argument 0: "),
    (1j, "complex at argument 0: "),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_written_is_named_with_its_place(serializer: Serializer, value: object, message: str) -> None:
    pattern = message if "|" in message or ".*" in message else re.escape(message)
    with pytest.raises(UnserializableArgument, match=pattern):
        serializer.dumps([[value], {}])
    with pytest.raises(UnserializableArgument, match=r"argument 'name'"):
        serializer.dumps([[], {"name": value}])


def nested(depth: int, wrap: type = list) -> object:
    value: Any = wrap()
    for _ in range(depth - 1):
        value = wrap([value])
    return value


def test_deep_nesting_is_refused_when_it_is_written(serializer: Serializer) -> None:
    for wrap in (list, tuple):
        with pytest.raises(UnserializableArgument, match="nested over"):
            serializer.dumps([[nested(1200, wrap)], {}])


def test_what_was_written_at_the_deepest_can_be_read(serializer: Serializer) -> None:
    for value in ([[nested(98)], {}], [[nested(32, tuple)], {}]):
        assert serializer.loads(serializer.dumps(value)) == value


def test_after_a_refusal_the_next_call_is_written_as_ever(serializer: Serializer) -> None:
    with pytest.raises(UnserializableArgument):
        serializer.dumps([["begun", object()], {}])
    assert serializer.loads(serializer.dumps(CALL)) == CALL


@given(data=st.binary(max_size=200))
@settings(deadline=None)
@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_random_bytes_are_read_or_undecodable(name: str, data: bytes) -> None:
    with suppress(UndecodableBody):  # any other error fails
        load(name).loads(data)


@given(value=values, cut=st.integers(0, 500), put=st.binary(max_size=3), skip=st.integers(0, 3))
@settings(deadline=None)
@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_damaged_bytes_are_read_or_undecodable(name: str, value: object, cut: int, put: bytes, skip: int) -> None:
    serializer = load(name)
    body = serializer.dumps(value)
    with suppress(UndecodableBody):
        serializer.loads(body[:cut] + put + body[cut + skip :])


def extensions(depth: int) -> bytes:
    data = b"\x90"
    for _ in range(depth):
        data = b"\xc9" + len(data).to_bytes(4, "big") + b"\x0a\x91" + data
        data = data[:1] + (int.from_bytes(data[1:5], "big") + 1).to_bytes(4, "big") + data[5:]
    return data


BAD_MSGPACK = {
    "nothing": b"",
    "truncated": b"\x92\x01",
    "trailing": b"\x01\x01",
    "unknown extension": b"\xd4\x63\x00",
    "a tuple that is text": b"\xd6\x0a\xa3abc",
    "a date that is none": b"\xc7\x04\x03\xa3abc",
    "an unhashable member": b"\xd5\x08\x91\x90",
    "an unhashable key": b"\x81\x90\x01",
    "a timedelta out of range": b"\xc7\x0c\x05\x93\xcf" + b"\x7f" * 8 + b"\0\0",
    "lists in lists": b"\x91" * 100_000 + b"\x90",
    "extensions in extensions": extensions(2000),
    "text that is not UTF-8": b"\xa1\xff",
}


@pytest.mark.parametrize("what", BAD_MSGPACK)
def test_msgpack_that_is_wrong_is_undecodable(what: str) -> None:
    with pytest.raises(UndecodableBody, match="not readable MessagePack"):
        load("msgpack").loads(BAD_MSGPACK[what])


BAD_JSON = {
    "nothing": b"",
    "truncated": b'[["a"',
    "trailing": b"[] []",
    "unknown tag": b'{"$unknown":1}',
    "a tuple that is text": b'{"$tuple":"abc"}',
    "a decimal that is none": b'{"$decimal":"1,5"}',
    "a float that is a number": b'{"$float":"1.5"}',
    "bytes that are not base64": b'{"$bytes":"%%%%"}',
    "a map without pairs": b'{"$map":["ab"]}',
    "an unhashable key": b'{"$map":[[[],1]]}',
    "a bare NaN": b"[NaN]",
    "an endless number": b"1" * 100_000,
    "lists in lists": b"[" * 100_000 + b"]" * 100_000,
    "objects in objects": b'{"$set":' * 100_000,
    "text that is not UTF-8": b'"\xff"',
}


@pytest.mark.parametrize("what", BAD_JSON)
def test_json_that_is_wrong_is_undecodable(what: str) -> None:
    with pytest.raises(UndecodableBody, match="not readable JSON"):
        load("json").loads(BAD_JSON[what])


BAD_DATE = "x" * 300 + "SECRET"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("json", f'{{"$date":"{BAD_DATE}"}}'.encode()),
        ("msgpack", packb(ExtType(3, packb(BAD_DATE)))),
    ],
)
def test_an_error_repeats_little_of_what_cannot_be_read(name: str, body: bytes) -> None:
    with pytest.raises(UndecodableBody, match=r"not readable .*: Invalid isoformat string: 'xxx") as raised:
        load(name).loads(body)
    assert "SECRET" not in "".join(format_exception(raised.value))


def test_lists_that_claim_more_than_the_body_holds_take_no_memory() -> None:
    hostile = (b"\xdd" + (900_000).to_bytes(4, "big")) * 900 + b"\0" * 900_000
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableBody):
            load("msgpack").loads(hostile)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(hostile)
    finally:
        tracemalloc.stop()


def test_a_timestamp_of_msgpack_is_a_datetime_in_utc() -> None:
    assert load("msgpack").loads(b"\xd6\xff\0\0\0\0") == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_large_body_comes_back_whole(serializer: Serializer) -> None:
    value = [[[b"x" * 1000] * 1000, "é" * 100_000], {"numbers": list(range(10_000))}]
    assert serializer.loads(serializer.dumps(value)) == value


def rows(columns: int) -> Iterator[list[str]]:
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == columns:
            yield cells


def test_the_examples_of_the_document_are_what_is_written_and_read() -> None:
    documented = {cells[0]: cells[1:] for cells in rows(4) if cells[0] in EXAMPLES}
    assert set(documented) == set(EXAMPLES)
    for name, (code, packed, text) in documented.items():
        assert code == str(next((kind.code for kind in KINDS if kind.name == name), "none"))
        for serializer, body in ((load("msgpack"), bytes.fromhex(packed)), (load("json"), text.encode())):
            assert serializer.dumps(EXAMPLES[name]) == body
            assert shape(serializer.loads(body)) == shape(EXAMPLES[name])


def test_the_content_types_of_the_document_are_those_of_the_serializers() -> None:
    documented = {cells[0]: cells[2] for cells in rows(3) if cells[0].startswith("application/")}
    msgpack, json = load("msgpack"), load("json")
    assert documented == {
        msgpack.content_type: msgpack.dumps(CALL).hex(),
        json.content_type: json.dumps(CALL).decode(),
    }


class Upper:
    """A serializer of somebody's own."""

    content_type = "text/x-upper"

    def dumps(self, value: object) -> bytes:
        return str(value).upper().encode()

    def loads(self, data: bytes) -> object:
        return data.decode()


class Half:
    content_type = ""

    def dumps(self, value: object) -> bytes:
        return b""


class Demanding(Upper):
    def __init__(self, key: str) -> None: ...


ready = Upper()


@pytest.mark.parametrize("attribute", [":Upper", ".Upper", ":ready", ".ready"])
def test_a_serializer_of_your_own_is_found_by_its_path(attribute: str) -> None:
    assert load(__name__ + attribute).dumps("a") == b"A"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (":Half", "lacks content_type, loads; it needs content_type"),
        (":CALL", "lacks content_type, dumps, loads"),
        (":Demanding", "cannot create it without arguments"),
        (":Nothing", "test_serializers has no Nothing"),
    ],
)
def test_what_is_no_serializer_is_refused_with_what_it_lacks(path: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(__name__ + path)


@pytest.mark.parametrize("name", ["", "cbor", "yaml", ":", ".x", "x:", "..a:b"])
def test_an_unknown_name_says_what_is_accepted(name: str) -> None:
    with pytest.raises(ConfigurationError, match="use msgpack, json, pickle, or the path of your own"):
        load(name)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot import no_such_module"):
        load("no_such_module:Serializer")

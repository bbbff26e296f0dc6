"""Classes that pydantic knows nothing of are made of what was written for them; an error repeats no key of a map."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, Field

from asyncdq.arguments import Fitter, fitter
from asyncdq.errors import InvalidCall
from asyncdq.serializers import load

SECRET = "SECRET-4242"


class Email(str):
    def __new__(cls, text: str) -> Email:
        if "@" not in text:
            raise ValueError("no @ in it")
        return super().__new__(cls, text)

    def __repr__(self) -> str:
        return f"Email({str(self)!r})"


class Euros(Decimal): ...


class Count(int): ...


class Row(list[int]): ...


class Pair(tuple[int, int]):
    def __new__(cls, x: int, y: int) -> Pair:
        return super().__new__(cls, (x, y))


class Place(PurePosixPath): ...


class Moment(datetime): ...


@dataclass
class Mail:
    to: Email
    body: bytearray


class Cat(BaseModel, extra="forbid"):
    kind: Literal["cat"]
    lives: int = Field(default=9, alias="n")


class Dog(BaseModel):
    kind: Literal["dog"]


class Spot(NamedTuple):
    x: int
    day: date


@dataclass
class Shop:
    config: list[Cat]
    default: Email | None = None


def of(annotation: Any) -> Fitter:
    """The fitter of a function with one parameter of that annotation."""

    def task(value: Any) -> None: ...

    task.__annotations__ = {"value": annotation}
    fit = fitter(task)
    assert fit is not None
    return fit


MADE: list[tuple[Any, object]] = [
    (bytearray, bytearray(b"\xff\x00")),
    (bytearray | None, bytearray(b"x")),
    (list[bytearray], [bytearray(b"x")]),
    (Mail, Mail(Email("a@b"), bytearray(b"x"))),
    (Shop, Shop([Cat(kind="cat", n=1)], Email("a@b"))),
    (Email, Email("a@b")),
    (dict[Email, list[Email]], {Email("a@b"): [Email("c@d")]}),
    (Count, Count(1)),
    (Euros, Euros("1.10")),
    (Row, Row([1, 2])),
    (Place, Place("a/b")),
    (defaultdict[str, int], defaultdict(int, a=1)),
]


@pytest.mark.parametrize("name", ["msgpack", "json"])
@pytest.mark.parametrize(("annotation", "value"), MADE)
def test_a_class_that_is_written_as_another_type_is_made_of_that(name: str, annotation: Any, value: Any) -> None:
    serializer = load(name)
    arrived: Any = serializer.loads(serializer.dumps([[value], {}]))
    (made,), _ = of(annotation)(*arrived)
    assert (type(made), repr(made)) == (type(value), repr(value))


def test_what_is_written_as_bytes_may_be_looked_at() -> None:
    (made,), _ = of(memoryview)([b"x"], {})
    assert made == memoryview(b"x")
    assert isinstance(made, memoryview)


@pytest.mark.parametrize(
    ("annotation", "value"), [(Email | str, "a@b"), (str | Email, "a@b"), (bytearray | bytes, b"x"), (Count | int, 1)]
)
def test_what_the_annotation_names_as_plain_stays_plain(annotation: Any, value: object) -> None:
    assert type(of(annotation)([value], {})[0][0]) is type(value)


@pytest.mark.parametrize("value", [Email("a@b"), Pair(1, 2), Moment(2026, 1, 31, tzinfo=UTC)])
def test_what_is_of_the_class_already_is_not_touched(value: object) -> None:
    assert of(type(value))([value], {})[0][0] is value


def test_what_is_not_made_of_one_value_alone_does_not_fit() -> None:
    with pytest.raises(InvalidCall, match="Input should be an instance of Pair"):
        of(Pair)([(1, 2)], {})
    with pytest.raises(InvalidCall, match="Input should be an instance of Moment"):
        of(Moment)([datetime(2026, 1, 31, tzinfo=UTC)], {})
    with pytest.raises(InvalidCall, match="Input should be an instance of Email"):
        of(Email)([1], {})
    with pytest.raises(InvalidCall, match="value: Value error, no @ in it"):
        of(Email)(["a"], {})


PETS = Annotated[Cat | Dog, Field(discriminator="kind")]

LEAKS: list[tuple[Any, object, str]] = [
    (dict[str, date], {"x" * 300: "2026-01-01", SECRET: "nope"}, "value[...]: Input should be a valid date"),
    (dict[str, list[date]], {"x" * 300: [], SECRET: ["2026-01-01", "nope"]}, "value[...][1]: Input should be"),
    (dict[date, int], {"x" * 99 + SECRET: 1}, "value[...]"),
    (dict[int, date], {**dict.fromkeys(range(99), "2026-01-01"), 4242: "nope"}, "value[...]: Input should be"),
    (list[int | dict[int, date]], [1] * 99 + [{4242: "nope"}], "value[99]"),
    (Cat, {"kind": "cat", "x" * 99: 1, SECRET: 1}, "value[...]: Extra inputs are not permitted"),
    (list[PETS], [{"kind": "x" * 99 + SECRET}], "value[0]: Input tag does not match any of the expected tags"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), LEAKS)
def test_an_error_repeats_no_key_of_a_map(annotation: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidCall) as raised:
        of(annotation)([value], {})
    assert message in str(raised.value)
    assert "4242" not in str(raised.value)


NAMED: list[tuple[Any, object, str]] = [
    (Cat, {"kind": "cat", "n": "x"}, "value['n']: Input should be a valid integer"),
    (list[Mail], [{"body": b""}], "value[0]['to']: Field required"),
    (dict[str, Cat], {"tom": {}}, "value[...]['kind']: Field required"),
    (Shop, {"config": [{}]}, "value['config'][0]['kind']: Field required"),
    (Spot, {"x": 1}, "value['day']: Field required"),
    (Spot, [1, "nope"], "value[1]: Input should be a valid date"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), NAMED)
def test_an_error_names_fields_and_places_in_lists(annotation: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidCall) as raised:
        of(annotation)([value], {})
    assert message in str(raised.value)

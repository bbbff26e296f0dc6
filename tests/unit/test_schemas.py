"""An error of an argument that does not fit repeats no key of a map."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, Field

from asyncdq.arguments import Fitter, fitter
from asyncdq.errors import InvalidCall

SECRET = "SECRET-4242"


@dataclass
class Mail:
    to: str
    body: bytes


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


def of(annotation: Any) -> Fitter:
    """The fitter of a function with one parameter of that annotation."""

    def task(value: Any) -> None: ...

    task.__annotations__ = {"value": annotation}
    fit = fitter(task)
    assert fit is not None
    return fit


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

"""Fitting: what a task's annotation names is what the task gets, through every serializer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from asyncdq.arguments import Fitter, fitter
from asyncdq.errors import InvalidCall
from asyncdq.serializers import load

if TYPE_CHECKING:
    from nowhere import Ghost  # type: ignore[import-not-found]  # the point of the test: it is not there at run time

T = TypeVar("T")
Name = NewType("Name", str)
Folder = NewType("Folder", Path)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


class Rights(Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class File:
    path: Path
    color: Color = Color.RED
    size: int = field(init=False, default=7)


@dataclass
class Box(Generic[T]):
    content: T


class User(BaseModel):
    id: int = Field(alias="_id")
    avatar: File | None = None
    key: bytes = b""
    born: date = date(2000, 1, 1)


class Spot(NamedTuple):
    x: int
    path: Path


class Arbitrary:
    pass


@dataclass
class Holder:
    path: Path
    thing: Arbitrary | None = None


def of(annotation: Any) -> Fitter | None:
    """The fitter of a function with one parameter of that annotation."""

    def task(value: Any) -> None: ...

    task.__annotations__ = {"value": annotation}
    return fitter(task)


FILE = File(Path("a"), Color.BLUE)
USER = User(_id=1, avatar=FILE, key=b"\xff\x00")

RESTORED: list[tuple[Any, object]] = [
    (Path, Path("a/b")),
    (Path | None, Path("a")),
    (Optional[Path], None),  # noqa: UP045 - the old spelling must work too
    (str | Path, "a"),
    (bytes | Path, b"\xff\x00"),
    (bytes | UUID | Path, b"0123456789abcdef"),
    (tuple[bytes, Path], (b"\xff", Path("a"))),
    (tuple[Path, ...], (Path("a"), Path("b"))),
    (list[Path], [Path("a")]),
    (Sequence[Path], [Path("a")]),
    (Iterable[Path], [Path("a")]),
    (set[Path], {Path("a")}),
    (Mapping[str, Path], {"a": Path("b")}),
    (dict[UUID, list[Color]], {UUID(int=1): [Color.RED]}),
    (dict[Color, int], {Color.RED: 1}),
    (Color, Color.RED),
    (Level, Level.LOW),
    (Word, Word.YES),
    (Rights, Rights.READ | Rights.WRITE),
    (File, FILE),
    (list[File], [FILE, FILE]),
    (Box[Path], Box(Path("a"))),
    (Holder, Holder(Path("a"))),
    (User, USER),
    (list[User], [USER]),
    (dict[str, User | None], {"a": USER, "b": None}),
    (Spot, Spot(1, Path("a"))),
    (Folder, Path("a")),
    (Annotated[Path, "where"], Path("a")),
]


@pytest.mark.parametrize("name", ["msgpack", "json"])
@pytest.mark.parametrize(("annotation", "value"), RESTORED)
def test_what_the_annotation_names_comes_back_through_a_serializer(name: str, annotation: Any, value: object) -> None:
    serializer, fit = load(name), of(annotation)
    arrived: Any = serializer.loads(serializer.dumps([[value], {"value": value}]))
    assert fit is not None
    assert fit(*arrived) == ((value,), {"value": value})
    assert type(fit(*arrived)[0][0]) is type(value)


def plain(a: int, b: str | None, c: dict[str, list[float]], *rest: bytes, d: Any = 1, **more: list[int]) -> None: ...


def bare(a, b=Path("x"), *c, **d):  # type: ignore[no-untyped-def]
    ...


def test_a_task_whose_parameters_are_plain_needs_no_fitter() -> None:
    assert fitter(plain) is None
    assert fitter(bare) is None


PLAIN = [
    *(int, bytes, None, Any, object, list, dict, list[list[int]], Iterable[str], bool | None, datetime | Any, Name),
    *(Sequence[bytes], Mapping[str, float], Literal["a", 1], Callable[[Path], None], T, "Missing"),
]


@pytest.mark.parametrize("annotation", PLAIN)
def test_a_plain_annotation_needs_no_fitter(annotation: Any) -> None:
    assert of(annotation) is None


DAY, MOMENT, ID, ZONED = (
    date(2026, 1, 31),
    datetime(2026, 1, 31, 12, 30),
    UUID(int=7),
    datetime(2026, 1, 31, tzinfo=UTC),
)
Day = NewType("Day", date)

FROM_JSON: list[tuple[Any, object, object]] = [
    (datetime, "2026-01-31T12:30:00", MOMENT),
    (datetime, "2026-01-31T00:00:00Z", ZONED),
    (date, "2026-01-31", DAY),
    (Day, "2026-01-31", DAY),
    (time, "12:30:00", time(12, 30)),
    (timedelta, "PT90S", timedelta(seconds=90)),
    (UUID, str(ID), ID),
    (Decimal, "1.10", Decimal("1.10")),
    (Decimal, 3, Decimal(3)),
    (tuple, [1, 2], (1, 2)),
    (tuple[int, ...], [1, 2], (1, 2)),
    (tuple[str, datetime], ["a", "2026-01-31T12:30:00"], ("a", MOMENT)),
    (set, [1, 2, 2], {1, 2}),
    (set[str], ["a"], {"a"}),
    (frozenset[int], [1], frozenset({1})),
    (AbstractSet[int], [1], frozenset({1})),
    (datetime | None, "2026-01-31T12:30:00", MOMENT),
    (Optional[UUID], str(ID), ID),  # noqa: UP045 - the old spelling must work too
    (int | date, "2026-01-31", DAY),
    (list[date], ["2026-01-31", DAY], [DAY, DAY]),
    (Sequence[UUID], [str(ID)], [ID]),
    (Iterable[date], ["2026-01-31"], [DAY]),
    (dict[str, date], {"a": "2026-01-31"}, {"a": DAY}),
    (Mapping[date, int], {"2026-01-31": 1}, {DAY: 1}),
    (dict[str, list[set[int]]], {"a": [[1]]}, {"a": [{1}]}),
]


@pytest.mark.parametrize(("annotation", "arrived", "value"), FROM_JSON)
def test_what_came_as_plain_json_becomes_what_the_annotation_names(
    annotation: Any, arrived: object, value: object
) -> None:
    fit = of(annotation)
    assert fit is not None
    assert fit([arrived], {"value": arrived}) == ((value,), {"value": value})
    assert type(fit([arrived], {})[0][0]) is type(value)


LIKE_IT: list[tuple[Any, object]] = [
    *((annotation, value) for annotation, _, value in FROM_JSON),
    (date, MOMENT),
    (list[date], [MOMENT, DAY]),
    (Decimal, Decimal("NaN")),
    (list[Decimal], [Decimal("Infinity")]),
    (dict[str, datetime], {1: MOMENT}),  # keys are plain: they are not looked at
    (set[int], {"a"}),
    (tuple[int, int], (1,)),
    (datetime | str, "2026-01-31"),
    (date | None, None),
    (float | datetime, 1),
    (Literal["now"] | datetime, "now"),
]


@pytest.mark.parametrize(("annotation", "value"), LIKE_IT)
def test_a_value_that_is_what_the_annotation_names_is_not_touched(annotation: Any, value: object) -> None:
    fit = of(annotation)
    assert fit is not None
    assert fit([value], {})[0][0] is value


def test_none_may_be_passed_where_it_is_the_default() -> None:
    space: dict[str, Any] = {"date": date, "Path": Path}
    exec("def task(when: date = None, where: Path = None): ...", space)  # as many write it
    fit = fitter(space["task"])
    assert fit is not None
    assert fit([None], {"where": None}) == ((None,), {"where": None})
    assert fit(["2026-01-31"], {"where": "a"}) == ((DAY,), {"where": Path("a")})


def every(a: Path, /, b: Path, n: int, *rest: Path, key: Path = Path("default"), **more: Color) -> None: ...


def test_each_argument_is_fitted_by_the_parameter_it_goes_to() -> None:
    fit = fitter(every)
    assert fit is not None
    assert fit(["1", "2", 3, "4", "5"], {"key": "6", "a": "red"}) == (
        (Path("1"), Path("2"), 3, Path("4"), Path("5")),
        {"key": Path("6"), "a": Color.RED},
    )


def test_defaults_are_left_to_the_function() -> None:
    fit = fitter(every)
    assert fit is not None
    assert fit(["1"], {"b": "2", "n": "not looked at"}) == ((Path("1"),), {"b": Path("2"), "n": "not looked at"})


def unresolvable(ghost: Ghost, path: Path, ghosts: list[Ghost]) -> None: ...


def test_an_annotation_for_type_checkers_only_leaves_its_parameter_alone() -> None:
    fit = fitter(unresolvable)
    assert fit is not None
    assert fit([1, "a", [2]], {}) == ((1, Path("a"), [2]), {})


def test_what_was_passed_is_not_changed() -> None:
    fit = of(dict[str, list[Path]])
    args: list[Any] = [{"a": ["b"]}]
    assert fit is not None
    assert fit(args, {})[0] == ({"a": [Path("b")]},)
    assert args == [{"a": ["b"]}]


def test_a_value_of_the_type_itself_stays_as_it_is() -> None:
    fit = of(User)
    assert fit is not None
    assert fit([USER], {})[0][0] is USER


def test_a_model_from_elsewhere_may_use_its_aliases() -> None:
    fit = of(User)
    assert fit is not None
    assert fit([{"_id": 1}], {}) == fit([{"id": 1}], {})


MISFITS: list[tuple[Any, object, str]] = [
    (Path, 1, r"value is pathlib.*Path, and 1 \(int\) does not fit"),
    (Color, "green", r"and 'green' \(str\) does not fit"),
    (User, {"_id": "x"}, r"value\['_id'\]: Input should be a valid integer"),
    (list[File], [{"color": "red"}], r"value\[0\]\['path'\]: Field required"),
    (Arbitrary, {}, "Input should be an instance of Arbitrary"),
    (Annotated[int, Field(gt=0)], -1, "greater than 0"),
    (datetime, "tomorrow", r"value is datetime.*, and 'tomorrow' \(str\) does not fit: value: Input should be"),
    (list[UUID], [str(ID), "x"], r"value\[1\]: Input should be a valid UUID"),
    (Decimal, None, "Decimal input should be"),
    (set[int], 5, "Input should be a valid set"),
    (set[str], [["a"]], r"value\[0\]: Input should be a valid string"),
    (tuple[int, int], [1], "Field required"),
    (tuple[int, date], (1,), "Field required"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), MISFITS)
def test_what_does_not_fit_is_named_with_what_is_expected(annotation: Any, value: object, message: str) -> None:
    fit = of(annotation)
    assert fit is not None
    with pytest.raises(InvalidCall, match=r"task\(\): .*" + message):
        fit([value], {})
    with pytest.raises(TypeError, match=message):
        fit([], {"value": value})


class Odd(type):
    """Its classes are all equal, and have no hash."""

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, Odd)


class Strange(metaclass=Odd): ...


def test_a_class_without_a_hash_is_left_alone() -> None:
    assert of(Strange) is None


def test_what_can_be_looked_at_only_once_is_not_used_up() -> None:
    fit = of(Iterable[UUID])
    assert fit is not None
    (ids,), _ = fit([map(UUID, ["8f14e45f-ceea-467f-9c2a-0b6d5e6f7a8b"])], {})
    assert len(list(ids)) == 1


def test_a_value_that_needs_no_conversion_does_not_import_pydantic() -> None:
    code = (
        "import sys, asyncdq.arguments as a, datetime, uuid\n"
        "def f(day: datetime.date, ids: list[uuid.UUID] | None, *more: set[int]) -> None: ...\n"
        "a.fitter(f)([datetime.date.today(), [uuid.uuid4()], {1}], {})\n"
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_producer_does_not_import_pydantic() -> None:
    code = (
        "import sys, asyncdq.arguments as a, asyncdq.envelope, asyncdq.serializers as s;"
        "[s.load(name).dumps([[{1}], {}]) for name in s.BUILT_IN];"
        "assert a.fitter(lambda x: 0) is None;"
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

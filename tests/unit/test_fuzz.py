"""What anybody can write, read by us: only documented errors come out, whatever the bytes and texts are.

The other fuzz of the envelope is in test_envelope.py, that of events in test_events.py.
"""

from __future__ import annotations

import dataclasses
import json
import os
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from unicodedata import category
from uuid import UUID

import msgpack
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from asyncdq import drivers
from asyncdq.arguments import fitter
from asyncdq.envelope import decode
from asyncdq.errors import AsyncdqError, ConfigurationError, InvalidCall, NewerEnvelope, UndecodableBody
from asyncdq.events import wire
from asyncdq.events.types import TYPES
from asyncdq.serializers import load as serializer
from asyncdq.serializers.kinds import KINDS
from asyncdq.settings import Settings, load, options
from asyncdq.signing import Keyring
from asyncdq.url import SCHEMES

pytestmark = pytest.mark.usefixtures("nowhere")
fuzz = hypothesis(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])

few = hypothesis(fuzz, max_examples=50)

schemes = [scheme for driver in SCHEMES.values() for scheme in driver]

texts = st.text(max_size=30) | st.text(st.sampled_from("a1:/?#@[]%&=.,-~ \0\n\ud800ü"), max_size=30)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=10,
)


class Colour(Enum):
    RED = 1


@dataclasses.dataclass
class Order:
    id: UUID
    lines: dict[str, Decimal]
    at: datetime | None = None


def annotated(
    order: Order, colour: Colour, path: Path, numbers: set[int], *rest: tuple[str, float], **named: Order | None
) -> None: ...


@st.composite
def extensions(draw: st.DrawFn, depth: int = 3) -> msgpack.ExtType:
    """An extension of ours, or of nobody's, that holds what does not belong into it."""
    inner = st.one_of(plain, extensions(depth - 1)) if depth else plain
    data = draw(st.binary(max_size=12) | st.builds(msgpack.packb, inner))
    return msgpack.ExtType(draw(st.integers(0, 12)), data)


@st.composite
def tags(draw: st.DrawFn) -> dict[str, Any]:
    """An object of JSON that looks like one of our marks."""
    name = draw(st.sampled_from([kind.name for kind in KINDS] + ["bytes", "float", "map", "more"]))
    inner = (
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers() | texts, max_size=3)
    )
    return {f"${name}": draw(st.recursive(inner, lambda each: st.lists(each, max_size=3), max_leaves=5))}


def flipped(body: bytes, place: int, value: int) -> bytes:
    return body[: place % (len(body) + 1)] + bytes([value]) + body[place % (len(body) + 1) + 1 :]


@given(st.lists(plain | extensions(), max_size=7), st.integers(0, 99), st.integers(0, 255))
@fuzz
def test_an_envelope_of_any_parts_is_read_undecodable_or_newer(parts: list[Any], place: int, value: int) -> None:
    for body in (msgpack.packb([1, *parts]), flipped(msgpack.packb([1, *parts]), place, value)):
        with suppress(UndecodableBody, NewerEnvelope):
            decode(body)


@given(st.binary(max_size=150), st.text(), st.text())
@fuzz
def test_no_bytes_are_taken_for_signed(body: bytes, id: str, queue: str) -> None:
    assert Keyring(["a-key-of-16-chars"]).refusal(id, queue, body) != ""


@given(st.binary(max_size=60) | st.builds(msgpack.packb, plain | extensions() | st.lists(extensions(), max_size=3)))
@fuzz
def test_arguments_in_msgpack_are_read_or_undecodable(data: bytes) -> None:
    with suppress(UndecodableBody):
        serializer("msgpack").loads(data)


@given(
    st.binary(max_size=60)
    | texts.map(lambda text: text.encode(errors="replace"))
    | tags().map(lambda tag: json.dumps([tag]).encode())
)
@example(b'{"$int": "0x' + b"f" * 100_000 + b'"}')
@example(b'{"$timedelta": [1e308, 1, 1]}')
@example(b'{"$map": [[[], 1]]}')
@example(b'{"$decimal": "1e999999999"}')
@example(b"[" * 5000)
@fuzz
def test_arguments_in_json_are_read_or_undecodable(data: bytes) -> None:
    with suppress(UndecodableBody):
        serializer("json").loads(data)


@st.composite
def published(draw: st.DrawFn) -> dict[str, Any]:
    """What looks like an event of ours, with fields that anybody filled."""
    names = [each.name for kind in TYPES.values() for each in dataclasses.fields(kind)]
    good = {"id": "1", "at": 1.0, "worker_id": None, "task_id": "1", "task": "a", "queue": "b", "attempt": 1}
    values = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.dictionaries(texts, texts, max_size=2)
    odd = draw(st.dictionaries(st.sampled_from(names), values, max_size=3))
    return {"event": draw(st.sampled_from([*TYPES])), **good, "max_attempts": 1, "duration": 1, **odd}


@given(st.binary(max_size=60) | published().map(lambda said: json.dumps(said).encode()))
@example(b'{"event": "worker_online", "id": "1", "at": NaN, "worker_id": "w"}')
@example(b'{"event": "worker_online", "id": "1", "at": true, "worker_id": "w"}')
@example(b'{"event": "worker_online", "id": "1", "at": 1e300, "worker_id": "w"}')
@fuzz
def test_what_anybody_publishes_is_an_event_of_one_line_or_nothing(data: bytes) -> None:
    event = wire.loads(data)
    if event is not None:
        shown = f"{wire.clock(event)} {wire.line(event)}"
        assert len(shown.splitlines()) == 1
        assert not any(category(each).startswith("C") for each in shown)
        assert wire.loads(wire.dumps(event)) == event


@given(st.lists(plain, max_size=6), st.dictionaries(st.text(max_size=6), plain, max_size=3))
@fuzz
def test_arguments_fit_their_annotations_or_are_an_invalid_call(args: list[Any], kwargs: dict[str, Any]) -> None:
    fit = fitter(annotated)
    assert fit is not None
    with suppress(InvalidCall):
        fit(args, kwargs)


def of_kinds(
    at: datetime, id: UUID, price: Decimal, numbers: frozenset[int], pair: tuple[date, float | None], *rest: time
) -> None: ...


@given(st.lists(plain | texts, max_size=7), st.dictionaries(st.text(max_size=6), plain, max_size=3))
@example([1e308], {})
@example(["9" * 5000], {})
@example([0, "0" * 32, "1e999999999"], {})
@example([0, "0" * 32, 2**64 - 1, [float("nan")], [float("inf"), 10**400]], {})
@fuzz
def test_arguments_become_kinds_or_are_an_invalid_call(args: list[Any], kwargs: dict[str, Any]) -> None:
    fit = fitter(of_kinds)
    assert fit is not None
    with suppress(InvalidCall):
        fit(args, kwargs)


@given(st.sampled_from(schemes), texts, texts, texts)
@fuzz
def test_a_driver_is_made_of_a_url_or_the_url_refused(scheme: str, place: str, key: str, value: str) -> None:
    for url in (f"{scheme}://{place}", f"{scheme}://h/d?{key}={value}", f"{scheme}://{place}?{key}={value}"):
        with suppress(ConfigurationError):
            drivers.from_url(url)


@pytest.mark.parametrize("scheme", schemes)
def test_each_option_of_a_url_takes_any_text_or_refuses_it(scheme: str) -> None:
    known = {option.name.partition("_")[2] for option in options()}
    names = sorted(
        known | {"timeout", "prefix", "poll", "db", "pooler", "heartbeat", "sslmode", "ssl_mode", "consumer_timeout"}
    )

    @given(st.sampled_from(names), texts | st.sampled_from(["nan", "inf", "-1", "1e999", "9" * 30, "true", "٣"]))
    @few
    def tried(name: str, value: str) -> None:
        with suppress(ConfigurationError):
            drivers.from_url(f"{scheme}://h/d?{name}={value}")

    tried()


@given(texts)
@fuzz
def test_any_text_is_a_url_or_refused(url: str) -> None:
    with suppress(ConfigurationError):
        drivers.from_url(url)


@given(st.sampled_from([*Settings.model_fields]), texts)
@few
def test_any_text_of_a_variable_is_a_setting_or_refused(name: str, text: str) -> None:
    variable = f"ASYNCDQ_{name.upper()}"
    with pytest.MonkeyPatch.context() as patch, suppress(ConfigurationError):
        if "\0" not in text and text.isprintable():
            patch.setenv(variable, text)
        settings = load() if variable in os.environ else load({name: text})
        with suppress(ConfigurationError):
            drivers.from_url(settings.driver_url())
        assert all([repr(settings), settings.place, settings.events_url()])


@given(st.sampled_from([*Settings.model_fields, "x"]), plain)
@few
def test_any_value_of_any_type_is_a_setting_or_refused(name: str, value: object) -> None:
    with suppress(ConfigurationError):
        load({name: value})


@given(
    st.sampled_from([*Settings.model_fields, "x"]), texts.map(json.dumps) | st.sampled_from(["1", "[]", "{}", "1e999"])
)
@few
def test_any_text_in_a_file_is_a_setting_or_refused(nowhere: Path, name: str, value: str) -> None:
    for file, head in ((nowhere / "pyproject.toml", "[tool.asyncdq]"), (nowhere / ".env", "")):
        key = name if head else f"ASYNCDQ_{name.upper()}"
        file.write_text(f"{head}\n{key} = {value}\n", errors="replace")
        with suppress(ConfigurationError):
            load()
        file.unlink()


@given(st.binary(max_size=60))
@few
def test_any_bytes_of_a_file_are_settings_or_refused(nowhere: Path, data: bytes) -> None:
    for name in ("pyproject.toml", ".env", "keys"):
        (nowhere / name).write_bytes(data)
        with suppress(ConfigurationError):
            load({"signing_keys": "@keys"} if name == "keys" else {})
        (nowhere / name).unlink()


@given(st.text())
@fuzz
def test_any_text_as_a_driver_is_its_name_or_refused(name: str) -> None:
    with suppress(AsyncdqError):
        drivers.driver_class(name)

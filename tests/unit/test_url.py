"""The one rule by which URLs are read and shown: no piece of a secret comes out, however it was typed."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from urllib.parse import quote, unquote_plus

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from asyncdq import Client, drivers
from asyncdq.cli.app import run
from asyncdq.errors import AsyncdqError, ConfigurationError
from asyncdq.events import EventSubscriber, RedisEmitter
from asyncdq.settings import load
from asyncdq.url import SCHEMES, Form, driver_of, masked

pytestmark = pytest.mark.usefixtures("nowhere")
fuzz = hypothesis(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])

FORM = Form("redis", "a Redis", "redis://localhost", ("password", "timeout"))

SHOWN = [
    ("redis://:p%40ss@h/0", "redis://***@h/0"),
    ("redis://who@h", "redis://***@h"),
    ("postgresql://me:a@b/c@h:5432/db", "postgresql://***@h:5432/db"),
    ("mysql://me@h/db?password=secret&x=1", "mysql://***@h/db?***"),
    ("amqp://h:5672/", "amqp://h:5672/"),
    ("redis://me:secret", "redis://***"),
    ("redis://me:secret/0?db=1", "redis://***"),
    ("redis://me:1?secret@h/0", "redis://***"),
    ("redis://me:1#secret", "redis://***"),
    ("redis+sentinel://a:26379,b:7000,[::1]:7001/s", "redis+sentinel://a:26379,b:7000,[::1]:7001/s"),
    ("redis://[::1]:7000", "redis://[::1]:7000"),
    ("sqlite://:memory:", "sqlite://:memory:"),
    ("sqlite:///tmp/a:b@c.db", "sqlite:///tmp/a:b@c.db"),
    ("me:secret@h", "***"),
    ("redis:me:secret", "***"),
    ("redis:me:secret@h://", "***"),
]


@pytest.mark.parametrize(("url", "shown"), SHOWN)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("redis://h", "", ""),
        ("redis://me@h", "me", ""),
        ("redis://me:p%40ss:w@rd@h", "me", "p@ss:w@rd"),
        ("redis://me:a/b#c&d e[f]@h", "me", "a/b#c&d e[f]"),
        ("redis://m%3Ae:100%@h", "m:e", "100%"),
    ],
)
def test_all_before_the_last_at_is_user_and_password(url: str, user: str, password: str) -> None:
    found = FORM.read(url)
    assert (found.user, found.password, found.hosts) == (user, password, "h")


def test_the_options_stand_behind_the_first_question_mark() -> None:
    assert FORM.read("redis://h/0?password=a?b%26c+d&timeout=5").options == {"password": "a?b&c d", "timeout": "5"}
    assert FORM.read("redis://h/0?").options == {}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://me:a?hunter2@h", "@ before the first '?'"),
        ("redis://me:a@h?password=hunter2@h", "@ before the first '?'"),
        ("redis://h?password=a#hunter2", "no #"),
        ("redis://h#hunter2", "no #"),
        ("redis://h?password=a&hunter2", "number 2 behind its '?'"),
        ("redis://h?password=a&hunter2=b", "number 2 behind its '?'"),
        ("redis://h?timeout=1&password=a&", "number 3 behind its '?'"),
        ("rediss//me:hunter2@h", "begins with redis://"),
    ],
)
def test_what_may_be_a_piece_of_a_secret_is_refused_and_not_repeated(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FORM.read(url)
    assert why in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", ("localhost", 7)),
        ("h", ("h", 7)),
        ("h:1", ("h", 1)),
        ("[::1]", ("::1", 7)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_a_host_may_have_a_port(text: str, host: tuple[str, int]) -> None:
    assert FORM.host(text, 7) == host


@pytest.mark.parametrize("text", ["h:0", "h:65536", "h:x", "h:1:2", "[::1", "::1", "h:٣", "h:" + "9" * 5000])
def test_a_host_with_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="port"):
        FORM.host(text, 7)


def test_the_scheme_says_which_driver() -> None:
    assert {driver_of(f"{scheme}://x") for scheme in SCHEMES["redis"]} == {"redis"}
    assert (driver_of("MariaDB://h/db"), driver_of("mongodb://h"), driver_of("me:pw@h")) == ("mysql", "mongodb", None)


# Letters that no message of ours has in such a row, between characters that mean something in a URL.
secrets = st.text(st.sampled_from("QXZJ79/?#&@:%[] =+"), min_size=4, max_size=20)
PLACES = {
    "redis+sentinel": "127.0.0.1:1/service",
    "rediss+sentinel": "127.0.0.1:1/service",
    "redis+unix": "/nowhere.sock",
    "sqs": "us-east-1?endpoint_url=http://127.0.0.1:1",
    "amqp": "127.0.0.1:1/",
    "amqps": "127.0.0.1:1/",
}
HOLD_SECRETS = ["password", "sentinel_password", "sslpassword", "ssl_password", "aws_secret_access_key", "token"]


MISTYPED: list[Callable[[str], str]] = [
    lambda url: url,
    lambda url: url.replace("://", ":", 1),
    lambda url: url.replace("://", "//", 1),
    lambda url: url.partition("://")[2],
]


@st.composite
def urls(draw: st.DrawFn) -> tuple[str, str]:
    """A secret, and a URL that has it somewhere, as it is or with %XX."""
    driver = draw(st.sampled_from([driver for driver in SCHEMES if driver != "sqlite"]))
    scheme = draw(st.sampled_from(SCHEMES[driver]))
    secret = draw(secrets)
    typed = draw(st.sampled_from([secret, quote(secret, safe="")]))
    place = PLACES.get(scheme, "127.0.0.1:1/0" if driver == "redis" else "127.0.0.1:1/db")
    option = f"{draw(st.sampled_from(HOLD_SECRETS))}={typed}"
    more = f"{place}{'&' if '?' in place else '?'}"
    url = draw(
        st.sampled_from(
            [
                *(f"{scheme}://{who}@{place}" for who in (typed, f"me:{typed}", f":{typed}", f"{typed}:pw")),
                *(f"{scheme}://{who}{more}{option}" for who in ("", "me:pw@")),
                *(f"{scheme}://{more}{options}" for options in (f"timeout=5&{option}", f"{option}&timeout=5")),
                f"{scheme}://me:{typed}@{more}timeout=soon",
            ]
        )
    )
    return secret, url


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def texts_about(url: str) -> Iterator[str]:
    """Whatever anybody may read that was made from this URL."""
    yield masked(url)
    try:
        driver = drivers.from_url(url)
        yield f"{driver} {driver!r} {Client(driver)!r}"
    except AsyncdqError as error:
        yield told(error)
    name = str(driver_of(url))
    own = {"driver": name, f"{name}_{'dsn' if name in ('postgres', 'mysql') else 'url'}": url}
    for values in ({"url": url}, own, {"events_redis_url": url}, {"driver": url}, {"url": url, "driver": "sqlite"}):
        try:
            settings = load(values)
            yield f"{settings} {settings!r} {settings.place}"
            yield f"{RedisEmitter(settings.events_url())} {EventSubscriber(settings.events_url())}"
            yield repr(drivers.from_url(settings.driver_url()))
        except AsyncdqError as error:
            yield told(error)


def printed_about(url: str) -> str:
    """What commands print that got this URL where it does not belong."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        for command in (["queues", url], ["purge", url], ["dead", "list", url], ["enqueue", "x", url], ["worker", url]):
            run([*command, "--sqlite-path", "/nowhere/at/all.db"])
        run([url])
        run(["queues", "--driver", url])
        run(["queues", "--limit", url])
        run(["dead", "list", "x", "--limit", url])
    return out.getvalue()


def pieces(secret: str) -> set[str]:
    """What must not be read anywhere: four characters in a row, unless they are all of those that URLs are made of."""
    found = {text[at : at + 4].lower() for text in (secret, unquote_plus(secret)) for at in range(len(text) - 3)}
    return {piece for piece in found if any(each in "qxzj79" for each in piece)}


@given(urls())
@example(("QXZJ&QXZJ", "redis://h/0?password=QXZJ&QXZJ=1"))
@example(("QX/QXZJ", "redis+unix://me:QX/QXZJ@/path"))
@example(("QX?QXZJ", "sqs://KEY:QX?QXZJ@us-east-1"))
@example(("777[", "sqs://KEY:777[@us-east-1?endpoint_url=http://127.0.0.1:1"))
@fuzz
def test_no_piece_of_a_secret_is_in_any_text_made_from_a_url(typed: tuple[str, str]) -> None:
    secret, url = typed
    for mistyped in MISTYPED:
        for text in texts_about(mistyped(url)):
            assert_hidden(secret, text)


@given(urls())
@hypothesis(fuzz, max_examples=15)
def test_a_url_in_the_wrong_place_of_a_command_is_not_printed(typed: tuple[str, str]) -> None:
    secret, url = typed
    assert_hidden(secret, printed_about(url))


def assert_hidden(secret: str, text: str) -> None:
    for seen in (text.lower(), unquote_plus(text).lower()):
        assert not [piece for piece in pieces(secret) if piece in seen], text

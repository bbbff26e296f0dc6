"""URLs of backends, read by one rule for all of them, so that no error, log or table repeats a secret.

    scheme://[user[:password]@]place[?name=value&name=value]

All that stands before the last `@` is user and password, in any characters but `?`; all that stands behind the `?` are
options. Of these two nothing is ever shown: only the scheme and the place are. A secret with characters that mean
something here is written with %XX. One that is not could be torn apart, its pieces taken for something else; so what
may be such a piece is refused and not repeated: an `@` or `#` behind the place, an option without `=`, an option that
is not known, which is spoken of by its number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import unquote, unquote_plus

from .errors import ConfigurationError

SCHEMES: Mapping[str, tuple[str, ...]] = {
    "sqlite": ("sqlite",),
    "redis": ("redis", "rediss", "valkey", "valkeys", "redis+sentinel", "rediss+sentinel", "redis+unix"),
    "postgres": ("postgresql", "postgres"),
    "mysql": ("mysql", "mariadb"),
    "rabbitmq": ("amqp", "amqps"),
    "sqs": ("sqs",),
}
"""The schemes of each driver."""

KNOWN = ", ".join(f"{scheme}://" for schemes in SCHEMES.values() for scheme in schemes)
"""All schemes, for messages."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}")
_HOST = r"(?:\[[^\]@/#]*\]|[^:@/#\[\]]*)(?::[0-9]*)?"
_PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^@#]*)?")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL taken apart. Its place stands here as it was written, all else without %XX."""

    scheme: str
    place: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def hosts(self) -> str:
        """What stands before the first slash of the place, as it was written."""
        return self.place.partition("/")[0]

    @property
    def path(self) -> str:
        """What stands behind that slash, as it was written."""
        return self.place.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Form:
    """What the URLs of one driver look like: an example, and the options that may stand behind the `?`.

    Without `users` there is nobody before an `@`: it belongs to the place.
    """

    driver: str
    name: str
    example: str
    options: Collection[str]
    users: bool = True

    def read(self, text: str) -> Url:
        """The URL taken apart. Raises ConfigurationError."""
        scheme, separator, rest = text.strip().partition("://")
        scheme = scheme.lower()
        schemes = SCHEMES[self.driver]
        if not separator or scheme not in schemes:
            self.refuse(f"begins with {' or '.join(f'{each}://' for each in schemes)}")
        location, _, query = rest.partition("?")
        who, _, place = location.rpartition("@") if self.users else ("", "", location)
        if self.users and ("@" in query or "#" in place + query):
            self.refuse(
                "has its @ before the first '?', and no #: in a password or value write ? as %3F, @ %40 and # %23"
            )
        user, _, password = who.partition(":")
        return Url(scheme, place, unquote(user), unquote(password), self._options(query))

    def _options(self, query: str) -> dict[str, str]:
        said: dict[str, str] = {}
        for number, item in enumerate(query.split("&") if query else [], 1):
            name, equals, value = item.partition("=")
            name = unquote_plus(name)
            if not equals or name not in self.options:
                self.refuse(
                    f"has no such option as number {number} behind its '?', which is not repeated: it may be a piece of"
                    f" a password, in which & is written as %26; known are {', '.join(self.options)}"
                )
            said[name] = unquote_plus(value)
        return said

    def host(self, text: str, usual: int) -> tuple[str, int]:
        """Host and port of `host`, `host:port`, `[::1]` or `[::1]:port`. Raises ConfigurationError."""
        found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{0,5}))?", text)
        if found is None:
            self.refuse("names its host as host:port or [::1]:port, and the port is a number")
        port = int(found[3] or usual)
        if not 0 < port < 65536:
            self.refuse("has a number from 1 to 65535 as its port")
        return unquote(found[1] or found[2] or "localhost"), port

    def refuse(self, why: str) -> NoReturn:
        """Raise ConfigurationError, without repeating the URL."""
        raise ConfigurationError(f"{self.name} URL {why}; for example {self.example}")


def number(name: str, value: float | str, least: float, most: float) -> float:
    """An option that may be written as text. Raises ConfigurationError, which does not repeat it, if out of range."""
    try:
        found = float(value)
    except (ValueError, OverflowError):
        found = -1.0
    if not least <= found <= most:
        raise ConfigurationError(f"{name} is a number from {least:g} to {most:g}")
    return found


def whole_number(name: str, value: float | str, least: int, most: int) -> int:
    """The same, of a number without a fraction."""
    found = number(name, value, least, most)
    if found != int(found):
        raise ConfigurationError(f"{name} is a whole number from {least} to {most}")
    return int(found)


def driver_of(url: str) -> str | None:
    """The driver that the scheme stands for, the scheme itself if no driver has it, None if there is no scheme."""
    scheme, separator, _ = url.strip().partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return None
    return next((driver for driver, schemes in SCHEMES.items() if scheme.lower() in schemes), scheme.lower())


def masked(text: str) -> str:
    """A URL as it may be printed: scheme and place, and `***` for what stands before and behind that.

    A text in which no rule says where the place is becomes `***` as a whole.
    """
    scheme, _, rest = text.partition("://")
    location, question, query = rest.partition("?")
    hidden = "?***" if question else ""
    if driver_of(text) is None:
        return "***"
    if scheme.lower() == "sqlite":
        return f"{scheme}://{location}{hidden}"
    _, at, place = location.rpartition("@")
    if not _PLACE.fullmatch(place) or "@" in query:
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{place}{hidden}"

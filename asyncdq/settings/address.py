"""Where the tasks are kept, and where the events go, as the options say it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode

from ..errors import ConfigurationError
from ..url import KNOWN, SCHEMES, driver_of, masked
from .layers import Layer, find

if TYPE_CHECKING:
    from . import Settings

ADDRESSES = {
    "sqlite": "sqlite_path",
    "redis": "redis_url",
    "postgres": "postgres_dsn",
    "mysql": "mysql_dsn",
    "rabbitmq": "rabbitmq_url",
    "sqs": "sqs_region",
}
"""The option that says where the queue of a driver is."""

TELLING = ("postgres", "mysql", "rabbitmq", "sqs", "redis")
"""Drivers whose address, where nothing else is said, was meant to be used. A Redis may be there for the events."""

EXAMPLE = "sqlite:///var/lib/app/tasks.db"


def driver_of_url(settings: type[Settings], layers: Sequence[Layer]) -> dict[str, str]:
    """The driver that the URL picks. A `driver` beside it, or said more strongly, must be the same."""
    found = find("url", settings.model_fields, layers)
    if found is None:
        return {}
    url, where, rank = found
    driver = driver_of(str(url))
    if driver is None:
        # Not repeated: in a URL that lacks its scheme no rule says where the password stands.
        raise ConfigurationError(f"{where}: this is not a URL; write scheme://..., as in {EXAMPLE}")
    if driver not in SCHEMES:
        raise ConfigurationError(f"{where}: no driver has the URL scheme {driver!r}; known are: {KNOWN}")
    address = find(ADDRESSES[driver], settings.model_fields, layers)
    if address and address[2] < rank:
        raise ConfigurationError(f"{address[1]} has no effect beside {where}: drop one")
    other = find("driver", settings.model_fields, layers)
    if other and other[0] != driver and other[2] <= rank:
        said = repr(other[0]) if str(other[0]).isidentifier() else "something else"
        raise ConfigurationError(f"{where} is for the driver {driver!r}, but {other[1]} says {said}: drop one")
    return {"driver": driver}


def idle_address(settings: Settings, layers: Sequence[Layer]) -> str:
    """What is wrong with an address of another driver, said more strongly than the one in use; empty if none is.

    A weaker one is no mistake: a file may name the servers of a whole team, and the command line picks one.
    """
    fields = type(settings).model_fields
    said = [found for found in (find(name, fields, layers) for name in ("url", "driver")) if found]
    if not said:
        return ""
    _, decided, rank = min(said, key=lambda found: found[2])
    for driver, name in ADDRESSES.items():
        found = find(name, fields, layers)
        for_events = driver == "redis" and settings.events_enable_event_emitter_redis
        if found and found[2] < rank and driver != settings.driver and not for_events:
            or_not = ", or say events_redis_url if it is for events" if driver == "redis" else ""
            return f"{found[1]} has no effect beside {decided}, for the driver {settings.driver!r}: drop one{or_not}"
    return ""


def driver_url(settings: Settings, folder: Path, idle: str) -> str:
    """The URL of the driver with its own options that were set; `folder` is where a file without a path lies.

    Raises ConfigurationError for an address that nobody would use; `idle` is what `idle_address` says of them.
    """
    if idle:
        raise ConfigurationError(idle)
    if not settings.url and "driver" not in settings.model_fields_set:
        events = settings.events_enable_event_emitter_redis
        for driver in TELLING:
            if ADDRESSES[driver] in settings.model_fields_set and not (driver == "redis" and events):
                or_not = ", or --driver sqlite if it is for who reads events" if driver == "redis" else ""
                text = f"{ADDRESSES[driver]} is set, but no driver: say --driver {driver} too{or_not}"
                raise ConfigurationError(text)
    url = _address(settings, folder)
    return _with(url, {name: getattr(settings, field) for name, field in _own_options(settings).items()})


def events_url(settings: Settings) -> str:
    """The Redis for events."""
    if settings.events_redis_url:
        return settings.events_redis_url
    own = settings.url if settings.driver == "redis" else None
    url = own or _url_option(settings, "redis_url", "redis")
    return _with(url, {"password": settings.redis_password} if settings.redis_password else {})


def shown(settings: Settings, folder: Path) -> str:
    """Where the tasks are kept, as it may be printed."""
    if settings.driver == "sqlite":
        return str(_database(settings, folder))
    return masked(_address(settings, folder))


def _with(url: str, options: Mapping[str, object]) -> str:
    """The URL with these options behind it, but for those that it names itself."""
    url = url.strip()
    said = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    rest = {name: value for name, value in options.items() if name not in said}
    return f"{url}{'&' if said else '' if url.endswith('?') else '?'}{urlencode(rest)}" if rest else url


def _address(settings: Settings, folder: Path) -> str:
    if settings.url:
        return settings.url
    if settings.driver == "sqlite":
        return f"sqlite://{quote(str(_database(settings, folder)), safe='/:')}"
    for name in (f"{settings.driver}_dsn", f"{settings.driver}_url"):
        if name in type(settings).model_fields:
            return _url_option(settings, name, settings.driver)
    return f"{settings.driver}://"


def _url_option(settings: Settings, name: str, driver: str) -> str:
    """The URL that an option of this driver holds. Raises ConfigurationError if it is for another one."""
    url: str = getattr(settings, name)
    if driver_of(url) != driver:
        raise ConfigurationError(f"{name}: {masked(url)!r} is not a URL for the driver {driver!r}")
    return url


def _database(settings: Settings, folder: Path) -> Path:
    path = settings.sqlite_path or folder / "asyncdq.db"
    if settings.url:
        path = Path(unquote(settings.url.partition("://")[2].partition("?")[0]))
    return path if path.name == ":memory:" else path.absolute()


def _own_options(settings: Settings) -> dict[str, str]:
    """The options of the driver in use that were set, as it calls them, but for those that say where it is."""
    prefix = f"{settings.driver}_"
    theirs = {name.removeprefix(prefix): name for name in settings.model_fields_set if name.startswith(prefix)}
    if settings.driver == "sqs":
        theirs |= {name: name for name in settings.model_fields_set if name.startswith("aws_")}
    idle = {"path", "url", "dsn", "max_attempts"}
    place = (settings.url or "").strip().partition("://")[2].partition("?")[0]
    if settings.driver == "sqs" and place.rpartition("@")[2].partition("/")[0]:
        idle.add("region")  # the URL names it
    return {name: theirs[name] for name in sorted(theirs) if name not in idle}

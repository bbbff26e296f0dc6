"""From a name or a URL to a driver. Nothing is imported before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from ..errors import ConfigurationError, MissingExtra
from ..url import KNOWN, SCHEMES, driver_of
from .base import BaseDriver


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a driver lives: its name, module and class, and the extra with its client library.

    `later` is a package that the module imports no sooner than it connects.
    """

    name: str
    module: str
    class_name: str
    extra: str = ""
    later: str = ""

    def load(self) -> type[BaseDriver]:
        """The driver's class. Raises `MissingExtra` if its client library is not installed."""
        try:
            module = import_module(self.module)
        except ImportError as error:
            ours = (error.name or "").partition(".")[0] == "asyncdq"
            if ours or not self.extra:
                raise
            raise self._missing() from error
        if self.later and find_spec(self.later) is None:
            raise self._missing()
        return cast("type[BaseDriver]", getattr(module, self.class_name))

    def _missing(self) -> MissingExtra:
        return MissingExtra(f"the {self.name} driver", self.extra)


BACKENDS = (
    Backend("sqlite", "asyncdq.drivers.sqlite", "SQLiteDriver"),
    Backend("redis", "asyncdq.drivers.redis", "RedisDriver", extra="redis"),
    Backend("postgres", "asyncdq.drivers.postgres", "PostgresDriver", extra="postgres"),
    Backend("mysql", "asyncdq.drivers.mysql", "MySQLDriver", extra="mysql"),
    Backend("rabbitmq", "asyncdq.drivers.rabbitmq", "RabbitMQDriver", extra="rabbitmq"),
    Backend("sqs", "asyncdq.drivers.sqs", "SQSDriver", extra="sqs", later="aiobotocore"),
)
"""All there are: a driver that is not in this table does not exist."""


def driver_class(name: str) -> type[BaseDriver]:
    """The driver of this name. Raises `ConfigurationError` for an unknown one, `MissingExtra` for a missing package."""
    for backend in BACKENDS:
        if backend.name == name:
            return backend.load()
    known = ", ".join(backend.name for backend in BACKENDS)
    raise ConfigurationError(f"there is no driver {name!r}; known are: {known}")


def resolve(driver: BaseDriver | str) -> BaseDriver:
    """The driver itself, or the one of this URL. Raises `ConfigurationError` for anything else."""
    if isinstance(driver, str):
        return from_url(driver)
    if not isinstance(driver, BaseDriver):
        raise ConfigurationError(f"a driver or its URL is needed, such as 'sqlite://tasks.db', not {driver!r}")
    return driver


def from_url(url: str, **options: Any) -> BaseDriver:
    """The driver that the URL's scheme stands for, not yet connected. Raises like `driver_class`.

    `options` are the keywords of the driver's class; what the URL says itself goes before them.
    """
    name = driver_of(url)
    if name is None:
        # Not repeated in the message: it may be a URL with its password, mistyped.
        raise ConfigurationError(f"a driver's URL begins with a scheme; known are: {KNOWN}")
    if name not in SCHEMES:
        raise ConfigurationError(f"no driver has the URL scheme {name!r}; known are: {KNOWN}")
    try:
        url.encode()
    except UnicodeEncodeError:  # from an environment that is not UTF-8
        raise ConfigurationError("a driver's URL is text in UTF-8, with special characters as %XX") from None
    return driver_class(name).from_url(url, **options)

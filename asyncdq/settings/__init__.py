"""Every option, defined once: the command line, its help and `ASYNCDQ_...` are made from these fields.

A value is looked for in this order; the first that has it wins:

    1. the command line, or the arguments of `Settings(...)`
    2. the environment: ASYNCDQ_CONCURRENCY. Empty counts as unset. Unknown ASYNCDQ_ names are ignored,
       since other programs put theirs there (ASYNCDQ_SERVICE_HOST); `strays` names the likely typos.
    3. the file `.env` of the working directory, with the same names
    4. the TOML file of `config`, else the nearest pyproject.toml upwards that has [tool.asyncdq]
    5. the default

An option named after a driver (`sqlite_path`) goes to that driver: a new one is a new field, no more.
"""
# long because: it is the one place where options are defined

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ..errors import ConfigurationError
from .layers import Layer, did_you_mean, read_layers
from .option import (
    EVENTS,
    EVERYWHERE,
    PREFIX,
    AnyCase,
    Count,
    CountOrZero,
    Delay,
    Duration,
    File,
    Flag,
    Modules,
    Option,
    PostgresDsn,
    Queue,
    Queues,
    Text,
    describe,
    option,
)

SCHEMES: Mapping[str, str] = {
    "rediss": "redis",
    "valkey": "redis",
    "valkeys": "redis",
    "redis+sentinel": "redis",
    "rediss+sentinel": "redis",
    "redis+unix": "redis",
    "postgresql": "postgres",
    "mariadb": "mysql",
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
}
"""The URL schemes that are not the name of their driver."""

EXAMPLE = "sqlite:///var/lib/app/tasks.db"


class Settings(BaseSettings):
    """What the environment, files and command line say. Raises ConfigurationError, naming what is wrong and where.

    `model_fields_set` holds the options that were set anywhere; the others have their defaults.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, frozen=True
    )

    driver: Text = option("sqlite", "The backend: sqlite, redis or postgres.", commands=EVERYWHERE)
    url: Text | None = option(
        None, "Where the backend is; the scheme picks the driver: sqlite://tasks.db.", commands=(*EVERYWHERE, "events")
    )
    config: File | None = option(
        None, "A TOML file to read instead of pyproject.toml.", commands=(*EVERYWHERE, "events")
    )
    sqlite_path: File | None = option(
        None,
        "The database file. Unset: asyncdq.db beside the pyproject.toml that was read, else here.",
        commands=EVERYWHERE,
    )
    sqlite_synchronous: Annotated[Literal["off", "normal", "full", "extra"], AnyCase] = option(
        "normal", "How hard a commit is pressed to the disk: full survives a power cut.", commands=EVERYWHERE
    )
    redis_url: Text = option(
        "redis://localhost:6379",
        "Where Redis or Valkey is; also rediss://, redis+sentinel://HOST,HOST/SERVICE, redis+unix:///PATH.",
        commands=(*EVERYWHERE, "events"),
    )
    redis_password: Text | None = option(None, "The password, if the URL has none.", commands=(*EVERYWHERE, "events"))
    redis_db: CountOrZero = option(0, "The number of the database, if the URL has none.", commands=EVERYWHERE)
    redis_max_connections: Count = option(
        100, "Connections that one process may open, at least 2; it uses no more than 5.", commands=EVERYWHERE
    )
    postgres_dsn: PostgresDsn = option(
        "postgresql://asyncdq:asyncdq@localhost:5432/asyncdq", "Where PostgreSQL is.", commands=EVERYWHERE
    )
    postgres_queue_table: Text = option("task_queue", "Its table of tasks: name or schema.name.", commands=EVERYWHERE)
    postgres_dead_letter_table: Text = option(
        "dead_letter_queue", "Its table of dead letters: name or schema.name.", commands=EVERYWHERE
    )
    postgres_min_pool_size: Count = option(1, "Connections to it that are opened at once.", commands=EVERYWHERE)
    postgres_max_pool_size: Count = option(
        10, "Connections to it at most, beside the one that listens.", commands=EVERYWHERE
    )
    postgres_max_attempts: Count | None = option(
        None, "The most executions of any task on it, whatever the task itself says. Unset: no such limit."
    )

    tasks: Modules = option((), "Modules with tasks. Unset: tasks.py and */tasks.py of the working directory.")
    queues: Queues = option(("default",), "Queues to work, the most important first.", short="-q")
    concurrency: Count = option(10, "Tasks that run at the same time.", short="-c")
    process_pool_size: CountOrZero | None = option(
        None, "Processes for process tasks, started with the first one; 0: none. Unset: one per CPU."
    )
    process_pool_max_tasks_per_child: Count | None = option(
        None, "Replace a process of the pool after this many tasks. Unset: never."
    )
    claim_ahead: Literal["auto"] | CountOrZero = option(
        "auto", "Tasks to claim beyond those that can start at once; 0: strictly none."
    )
    grace_period: Delay = option(25.0, "How long running tasks may go on after SIGTERM.")
    heartbeat_interval: Duration = option(60.0, "How often the worker logs that it is alive.")
    name: Text | None = option(None, "The worker's id. Unset: host-pid-xxxx.", short="-n")
    burst: Flag = option(False, "Stop when the queues are empty; delayed tasks do not count.", short="-b")
    max_tasks: Count | None = option(None, "Stop after exactly this many tasks. Unset: never.")
    uvloop: Flag = option(False, "Run on uvloop instead of asyncio's own loop.")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = option(
        "info", "The least important lines to log.", short="-v"
    )
    log_format: Annotated[Literal["text", "json"], AnyCase] = option(
        "text", "Lines for people, or one JSON object each."
    )
    serializer: Text = option(
        "msgpack",
        "How arguments are written: msgpack, json, pickle, or package.module:Class.",
        commands=("worker", "enqueue"),
    )

    events_enable_event_emitter_redis: Flag = option(
        False, "Publish what happens to tasks and workers on Redis.", commands=("worker", "enqueue")
    )
    events_redis_url: Text | None = option(None, "The Redis for events. Unset: the Redis URL.", commands=EVENTS)
    events_channel: Text = option("asyncdq:events", "The channel for events.", commands=EVENTS)

    task_defaults_queue: Queue = option("default", "The queue of tasks that name none.", commands=("worker", "enqueue"))
    task_defaults_max_attempts: Count = option(3, "Executions of a failing task in total, the first included.")
    task_defaults_retry_strategy: Annotated[Literal["fixed", "exponential"], AnyCase] = option(
        "exponential", "fixed: always the retry delay; exponential: doubled every time."
    )
    task_defaults_retry_delay: Delay = option(60.0, "The wait before the second attempt.")
    task_defaults_timeout: Duration | None = option(None, "The longest that a task may run. Unset: any time.")
    task_defaults_visibility_timeout: Duration = option(
        60.0, "How soon the tasks of a dead worker are taken over; leases of living ones are renewed."
    )

    _folder: Path = PrivateAttr()

    def __init__(self, **values: Any) -> None:
        layers = read_layers(type(self), values)
        merged: dict[str, Any] = {}
        for layer in reversed(layers):
            merged |= layer.values
        merged |= _driver_of_url(layers)
        try:
            super().__init__(**merged)
        except ValidationError as error:
            raise ConfigurationError(_explain(error, layers)) from None
        file = layers[-1].file
        self._folder = file.parent if file and file.name == "pyproject.toml" else Path.cwd()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *args: Any, **kwargs: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `__init__` merged: it keeps the layers apart, to name the one that holds a wrong value."""
        return (init_settings,)

    def driver_url(self) -> str:
        """What `drivers.from_url` takes: the URL, with the driver's own options that were set. Holds secrets."""
        url = self.url or self._address()
        said = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
        own = {name: getattr(self, f"{self.driver}_{name}") for name in self._own_options() if name not in said}
        return f"{url}{'&' if said else '?'}{urlencode(own)}" if own else url

    def events_url(self) -> str:
        """The Redis for events, whatever driver keeps the queue. Holds secrets."""
        url = self.events_redis_url or (self.url if self.driver == "redis" and self.url else self.redis_url)
        if self.events_redis_url or not self.redis_password or "password=" in url:
            return url
        return f"{url}{'&' if '?' in url else '?'}{urlencode({'password': self.redis_password})}"

    @property
    def place(self) -> str:
        """Where the tasks are kept, as it may be printed: a file with its whole path, a URL without its secrets."""
        return str(self._database()) if self.driver == "sqlite" else masked(self.url or self._address())

    @property
    def attempts_cap(self) -> int | None:
        """The most executions of any task on the driver in use, if it has such a limit."""
        cap: int | None = getattr(self, f"{self.driver}_max_attempts", None)
        return cap

    def _address(self) -> str:
        if self.driver == "redis":
            return self._url_option("redis_url")
        if self.driver == "sqlite":
            return f"sqlite://{quote(str(self._database()), safe='/:')}"
        found = getattr(self, f"{self.driver}_dsn", None) or getattr(self, f"{self.driver}_url", None)
        return found or f"{self.driver}://"

    def _url_option(self, name: str) -> str:
        """The URL that an option of the driver holds. Raises ConfigurationError if it is for another driver."""
        url: str = getattr(self, name)
        scheme = url.partition("://")[0].lower()
        if SCHEMES.get(scheme, scheme) != self.driver:
            raise ConfigurationError(f"{name}: {masked(url)!r} is not a URL for the driver {self.driver!r}")
        return url

    def _database(self) -> Path:
        path = self.sqlite_path or self._folder / "asyncdq.db"
        if self.url:
            path = Path(unquote(self.url.partition("://")[2].partition("?")[0]))
        return path if path.name == ":memory:" else path.absolute()

    def _own_options(self) -> list[str]:
        """The options of the driver in use that were set, but for those that say where it is."""
        prefix = f"{self.driver}_"
        mine = [name.removeprefix(prefix) for name in sorted(self.model_fields_set) if name.startswith(prefix)]
        return [name for name in mine if name not in ("path", "url", "dsn", "max_attempts")]

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            secret = value is not None and str(name).endswith("password")
            yield name, "***" if secret else masked(value) if isinstance(value, str) else value


def load(overrides: Mapping[str, Any] | None = None, config: Path | str | None = None) -> Settings:
    """The settings, with `overrides` (by field name) before everything else and `config` as the file to read."""
    values = dict(overrides or {})
    if config is not None:
        values["config"] = config
    return Settings(**values)


def options() -> list[Option]:
    """Every option, in the order of the help."""
    return [describe(name, field) for name, field in Settings.model_fields.items()]


def strays() -> list[str]:
    """One sentence per environment variable that looks like an option misspelt."""
    known = [option.variable for option in options()]
    found = {name: did_you_mean(name, known, 0.9) for name in os.environ if name not in known}
    return [f"{name} is not an option{near}" for name, near in found.items() if near and name.startswith(PREFIX)]


def masked(url: str) -> str:
    """The URL as it may be printed: its password, and parameters that hold one, become `***`."""
    url = re.sub(r"(://[^:/?#]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|passwd|secret|token)[^=&]*=)[^&]*", r"\1***", url)


def _driver_of_url(layers: list[Layer]) -> dict[str, str]:
    """The driver that the URL picks. A `driver` beside it, or said more strongly, must be the same."""
    found = _find("url", layers)
    if found is None:
        return {}
    url, where, rank = found
    scheme, separator, _ = str(url).lower().partition("://")
    if not separator:
        raise ConfigurationError(f"{where}: {masked(str(url))!r} is not a URL; write scheme://..., as in {EXAMPLE}")
    driver = SCHEMES.get(scheme, scheme)
    other = _find("driver", layers)
    if other and other[0] != driver and other[2] <= rank:
        raise ConfigurationError(
            f"{where} is for the driver {driver!r}, but {other[1]} says {masked(str(other[0]))!r}: drop one"
        )
    return {"driver": driver}


def _find(name: str, layers: list[Layer]) -> tuple[Any, str, int] | None:
    """The value of an option, how its source spells it, and the rank of that source (0 is the strongest)."""
    for rank, layer in enumerate(layers):
        if layer.values.get(name) is not None:
            return layer.values[name], layer.spell(describe(name, Settings.model_fields[name])), rank
    return None


def _explain(error: ValidationError, layers: list[Layer]) -> str:
    """The first mistake, in one line: where it stands, what was found and what is accepted."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    value, where, _ = _find(name, layers) or (first["input"], name, 0)
    if "ctx" in first and "error" in first["ctx"]:
        return f"{where}: {first['ctx']['error']}"
    expected = describe(name, Settings.model_fields[name]).accepts.words
    return f"{where}: {masked(repr(value))} is not accepted; expected {expected}"

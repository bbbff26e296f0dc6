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

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ..errors import ConfigurationError
from ..url import masked
from . import address
from .layers import Layer, did_you_mean, find, names_in_dotenv, read_layers
from .option import (
    EVENTS,
    EVERYWHERE,
    PREFIX,
    AmqpUrl,
    AnyCase,
    Count,
    CountOrZero,
    Delay,
    Driver,
    Duration,
    File,
    Flag,
    Keys,
    Modules,
    MysqlDsn,
    Name,
    Option,
    PollSeconds,
    PostgresDsn,
    Queue,
    Queues,
    RedisUrl,
    Text,
    TwoOrMore,
    describe,
    option,
)


class Settings(BaseSettings):
    """What the environment, files and command line say. Raises ConfigurationError, naming what is wrong and where.

    `model_fields_set` holds the options that were set anywhere; the others have their defaults.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, frozen=True
    )

    driver: Driver = option(
        "sqlite", "The backend: sqlite, redis, postgres, mysql, rabbitmq or sqs.", commands=EVERYWHERE
    )
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
    redis_password: Text | None = option(
        None, "The password, if the URL has none.", commands=(*EVERYWHERE, "events"), secret=True
    )
    redis_db: CountOrZero = option(
        0, "The number of the database, if the URL has none.", commands=(*EVERYWHERE, "events")
    )
    redis_max_connections: TwoOrMore = option(
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
        None, "The highest max_attempts of any task on it, whatever the task itself says. Unset: no such limit."
    )
    mysql_dsn: MysqlDsn = option(
        "mysql://asyncdq:asyncdq@localhost:3306/asyncdq", "Where MySQL or MariaDB is.", commands=EVERYWHERE
    )
    mysql_queue_table: Text = option("task_queue", "Its table of tasks: name or database.name.", commands=EVERYWHERE)
    mysql_dead_letter_table: Text = option(
        "dead_letter_queue", "Its table of dead letters: name or database.name.", commands=EVERYWHERE
    )
    mysql_min_pool_size: Count = option(1, "Connections to it that are opened at once.", commands=EVERYWHERE)
    mysql_max_pool_size: Count = option(10, "Connections to it at most.", commands=EVERYWHERE)
    mysql_max_attempts: Count | None = option(
        None, "The highest max_attempts of any task on it, whatever the task itself says. Unset: no such limit."
    )
    rabbitmq_url: AmqpUrl = option(
        "amqp://guest:guest@localhost:5672/", "Where RabbitMQ is; also amqps://.", commands=EVERYWHERE
    )
    rabbitmq_exchange_name: Text = option(
        "asyncdq", "What the names of all its exchanges and queues begin with.", commands=EVERYWHERE
    )
    rabbitmq_prefetch_count: Count | None = option(
        None, "Messages per queue that it may send ahead. Unset: twice the concurrency."
    )
    rabbitmq_consumer_timeout: Duration = option(
        1800.0, "The server's own consumer_timeout; no task may hold its message longer than 5 minutes less."
    )
    sqs_region: Text = option("us-east-1", "The region of its queues.", commands=EVERYWHERE)
    sqs_queue_url_prefix: Text | None = option(
        None, "What the URLs of its queues begin with; they must exist then. Unset: they are made.", commands=EVERYWHERE
    )
    sqs_endpoint_url: Text | None = option(None, "Where it is, if not at AWS: an emulator.", commands=EVERYWHERE)
    sqs_poll: PollSeconds = option(
        5, "Seconds of a long poll, 1 to 20: a longer one costs less, and so long may it take to stop an idle worker."
    )
    aws_access_key_id: Text | None = option(
        None, "The key for SQS. Unset: what AWS's own settings and roles say.", commands=EVERYWHERE
    )
    aws_secret_access_key: Text | None = option(None, "The secret of that key.", commands=EVERYWHERE, secret=True)

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
    name: Name | None = option(None, "The worker's id. Unset: host-pid-xxxx.", short="-n")
    burst: Flag = option(False, "Stop when the queues are empty; delayed tasks do not count.", short="-b")
    max_tasks: Count | None = option(None, "Stop after exactly this many tasks. Unset: never.")
    uvloop: Flag = option(False, "Run on uvloop instead of asyncio's own loop.")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = option(
        "info", "The least important lines to log; debug has one per start and success of a task.", short="-v"
    )
    log_format: Annotated[Literal["text", "json"], AnyCase] = option(
        "text", "Lines for people, or one JSON object each."
    )
    serializer: Text = option(
        "msgpack",
        "How arguments are written: msgpack, json, pickle, or package.module:Class.",
        commands=("worker", "enqueue"),
    )
    signing_keys: Keys = option(
        None,
        "The first signs what is enqueued; only what is signed with one of them is run. Unset: no signatures.",
        commands=("worker", "enqueue"),
        secret=True,
    )
    accept_unsigned: Flag = option(False, "Run unsigned messages too: while keys are being introduced.")

    events_enable_event_emitter_redis: Flag = option(
        False, "Publish what happens to tasks and workers on Redis.", commands=("worker", "enqueue")
    )
    events_redis_url: RedisUrl | None = option(None, "The Redis for events. Unset: the Redis URL.", commands=EVENTS)
    events_channel: Text = option("asyncdq:events", "The channel for events.", commands=EVENTS)

    task_defaults_queue: Queue = option("default", "The queue of tasks that name none.", commands=("worker", "enqueue"))
    task_defaults_max_attempts: Count = option(3, "Failures, or lost workers in a row, after which a task is buried.")
    task_defaults_retry_strategy: Annotated[Literal["fixed", "exponential"], AnyCase] = option(
        "exponential", "fixed: always the retry delay; exponential: doubled every time."
    )
    task_defaults_retry_delay: Delay = option(60.0, "The wait before the second attempt.")
    task_defaults_timeout: Duration | None = option(None, "The longest that a task may run. Unset: any time.")
    task_defaults_visibility_timeout: Duration = option(
        60.0, "How soon the tasks of a dead worker are taken over; leases of living ones are renewed."
    )

    _folder: Path = PrivateAttr()
    _idle: str = PrivateAttr()

    def __init__(self, **values: Any) -> None:
        layers = read_layers(type(self), values)
        merged: dict[str, Any] = {}
        for layer in reversed(layers):
            merged |= layer.values
        merged |= address.driver_of_url(type(self), layers)
        try:
            super().__init__(**merged)
        except ValidationError as error:
            raise ConfigurationError(_explain(error, layers)) from None
        file = layers[-1].file
        self._folder = file.parent if file and file.name == "pyproject.toml" else Path.cwd()
        self._idle = address.idle_address(self, layers)  # told to who wants the queue: events are read without it

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *args: Any, **kwargs: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `__init__` merged: it keeps the layers apart, to name the one that holds a wrong value."""
        return (init_settings,)

    def driver_url(self) -> str:
        """What `drivers.from_url` takes: the URL, with the driver's own options that were set. Holds secrets."""
        return address.driver_url(self, self._folder, self._idle)

    def events_url(self) -> str:
        """The Redis for events, whatever driver keeps the queue; its channels belong to no database. Holds secrets."""
        return address.events_url(self)

    @property
    def place(self) -> str:
        """Where the tasks are kept, as it may be printed: a file with its whole path, a URL without its secrets."""
        return address.shown(self, self._folder)

    @property
    def attempts_cap(self) -> int | None:
        """The highest `max_attempts` of any task on the driver in use, if it has such a limit."""
        cap: int | None = getattr(self, f"{self.driver}_max_attempts", None)
        return cap

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, _shown(str(name), value)


def _shown(name: str, value: Any) -> Any:
    if value and describe(name, Settings.model_fields[name]).is_secret:
        return "***"
    is_url = name.rpartition("_")[2] in ("url", "dsn") or re.search("@|//", str(value))
    return masked(value) if is_url and isinstance(value, str) else value


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
    """One sentence per variable, of the environment or the file `.env`, that looks like an option misspelt."""
    known = [option.variable for option in options()]
    places = dict.fromkeys(names_in_dotenv(Settings), f" in {Path('.env').absolute()}") | dict.fromkeys(
        map(str.upper, os.environ), ""
    )
    unknown = {name: place for name, place in places.items() if name.startswith(PREFIX) and name not in known}
    near = {name: did_you_mean(name, known, 0.9) for name in unknown}
    return [f"{name}{place} is not an option{near[name]}" for name, place in unknown.items() if near[name]]


def _explain(error: ValidationError, layers: list[Layer]) -> str:
    """The first mistake, in one line: where it stands, what was found and what is accepted."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    value, where, _ = find(name, Settings.model_fields, layers) or (first["input"], name, 0)
    if "ctx" in first and "error" in first["ctx"]:
        return f"{where}: {first['ctx']['error']}"
    option = describe(name, Settings.model_fields[name])
    # A URL, or what is left of one, in an option that takes none was meant for another one.
    plain = re.fullmatch(r"[\w .,+-]*", str(value)) and not option.is_secret
    shown = repr(value) if plain else "this"
    return f"{where}: {shown} is not accepted; expected {option.accepts.words}"

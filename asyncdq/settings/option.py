"""The kinds of options, and an option as people see it. The options themselves are the fields of `Settings`."""

from __future__ import annotations

import types
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import AfterValidator, AllowInfNan, BeforeValidator, Field
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from ..errors import ConfigurationError
from ..names import check_queue
from ..signing import check_key
from ..url import driver_of

PREFIX = "ASYNCDQ_"
EVERYWHERE = ("worker", "enqueue", "queues", "purge", "dead", "migrate")
EVENTS = ("worker", "enqueue", "events")
WORKER = ("worker",)

LONGEST = 1e9
"""Seconds, 31 years: some clocks of the operating system go no further than a few hundred."""


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a kind of option takes: in words for an error message, and as the placeholder of the help."""

    words: str
    metavar: str = ""


def _split(value: object) -> object:
    """Comma-separated names as a list; each item of a list may be comma-separated itself."""
    if not isinstance(value, (str, list, tuple)):
        return value
    items = [value] if isinstance(value, str) else cast("list[object]", value)
    parts = [part for item in items for part in ([item] if isinstance(item, Path) else _parts(str(item)))]
    return list(dict.fromkeys(part for part in parts if part))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def expanded(path: Path | str) -> Path:
    """The path with a home folder in place of `~`. Raises ValueError if there is none, or if it is not UTF-8."""
    try:
        str(path).encode()
        return Path(path).expanduser()
    except UnicodeEncodeError:
        raise ValueError("a path is text in UTF-8") from None
    except RuntimeError:
        raise ValueError(f"{path}: there is no such home folder") from None


def files_of_keys(value: object, folder: Path) -> object:
    """Keys as a list, each `@PATH` in it as the path itself, counted from `folder`. Raises ValueError as `expanded`.

    As a path, since the name of a folder may hold a comma, at which text is split.
    """
    keys = _split(value)
    if not isinstance(keys, list):
        return value
    found = cast("list[str | Path]", keys)
    return [folder / expanded(key[1:]) if isinstance(key, str) and key.startswith("@") else key for key in found]


def _read(value: object) -> object:
    """Keys as a list; `@PATH` stands for what that file holds, on one line or several."""
    keys = files_of_keys(value, Path())
    if not isinstance(keys, list):
        return value
    found: list[object] = []
    for key in cast("list[str | Path]", keys):
        found.extend(_lines(key) if isinstance(key, Path) else [key])
    return _split(found)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:  # a path with a NUL, or a file that is not text
        reason = error.strerror if isinstance(error, OSError) else "it holds no text"
        raise ValueError(f"{file} cannot be read: {reason}") from None


def _key(key: str) -> str:
    try:
        return check_key(key)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _not_empty(keys: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if keys == ():  # an empty file must not quietly turn the signatures off
        raise ValueError("it holds no key")
    return keys


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("it is printed in lines of the log, so it has to be printable")
    return name


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _queue(name: str) -> str:
    try:
        return check_queue(name)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _some(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("name at least one queue")
    if len(set(names)) < len(names):
        raise ValueError(f"{','.join(names)} names a queue twice")
    return names


def _url(driver: str, example: str) -> AfterValidator:
    def check(url: str) -> str:
        if driver_of(url) != driver:
            raise ValueError(f"it looks like {example}")
        return url

    return AfterValidator(check)


AnyCase = BeforeValidator(_lower)
Text = Annotated[str, Field(min_length=1), Accepts("some text", "TEXT")]
Name = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(_printable), Accepts("up to 200 characters", "TEXT")
]
Driver = Annotated[str, Field(pattern=r"^\w+$"), Accepts("the name of a driver", "NAME")]
PostgresDsn = Annotated[
    str,
    _url("postgres", "postgresql://user:password@host:5432/database"),
    Accepts("a postgresql:// URL", "DSN"),
]
MysqlDsn = Annotated[str, _url("mysql", "mysql://user:password@host:3306/database"), Accepts("a mysql:// URL", "DSN")]
AmqpUrl = Annotated[str, _url("rabbitmq", "amqp://user:password@host:5672/vhost"), Accepts("an amqp:// URL", "URL")]
RedisUrl = Annotated[str, _url("redis", "redis://:password@host:6379/0"), Accepts("a redis:// URL", "URL")]
Flag = Annotated[bool, Accepts("true or false")]
Count = Annotated[int, Field(ge=1), Accepts("a whole number, 1 or more", "N")]
TwoOrMore = Annotated[int, Field(ge=2), Accepts("a whole number, 2 or more", "N")]
PollSeconds = Annotated[int, Field(ge=1, le=20), Accepts("whole seconds, 1 to 20", "SECONDS")]
CountOrZero = Annotated[int, Field(ge=0), Accepts("a whole number, 0 or more", "N")]
Delay = Annotated[float, Field(ge=0, le=LONGEST), AllowInfNan(False), Accepts("seconds, 0 to 1e9", "SECONDS")]
Duration = Annotated[float, Field(gt=0, le=LONGEST), AllowInfNan(False), Accepts("seconds, up to 1e9", "SECONDS")]
File = Annotated[Path, AfterValidator(expanded), Accepts("a path", "PATH")]
Queue = Annotated[str, AfterValidator(_queue), Accepts("a queue name", "NAME")]
Queues = Annotated[
    tuple[Queue, ...], NoDecode, BeforeValidator(_split), AfterValidator(_some), Accepts("queue names", "NAME,...")
]
Keys = Annotated[
    tuple[Annotated[str, AfterValidator(_key)], ...] | None,
    NoDecode,
    BeforeValidator(_read),
    AfterValidator(_not_empty),
    Accepts("keys, or @ and the path of a file with keys", "KEY,...|@FILE"),
]
Modules = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Accepts("module names", "MODULE,...")]


def option(
    default: Any, help: str, *, short: str | None = None, commands: tuple[str, ...] = WORKER, secret: bool = False
) -> Any:
    """A field of `Settings`: its help text, its short flag, the commands that take it; a secret is never printed."""
    extra: Any = {"short": short, "commands": list(commands), "secret": secret}
    return Field(default, description=help, json_schema_extra=extra)


@dataclass(frozen=True, slots=True)
class Option:
    """A field of `Settings` as people see it. `default` is empty if there is none to show."""

    name: str
    help: str
    default: str
    accepts: Accepts
    short: str | None
    commands: tuple[str, ...]
    is_flag: bool
    is_list: bool
    is_secret: bool

    @property
    def flag(self) -> str:
        """What the command line calls it."""
        return "MODULES" if self.name == "tasks" else "--" + self.name.replace("_", "-")

    @property
    def shorts(self) -> tuple[str, ...]:
        """Its one-letter flag, if it has one."""
        return (self.short,) if self.short else ()

    @property
    def variable(self) -> str:
        """What the environment calls it."""
        return PREFIX + self.name.upper()


def describe(name: str, field: FieldInfo) -> Option:
    """The option that this field is."""
    extra: Any = field.json_schema_extra
    kinds = [*field.metadata, *_kinds(field.annotation)]
    return Option(
        name=name,
        help=field.description or "",
        default=_shown(field.default),
        accepts=_accepts(kinds),
        short=extra["short"],
        commands=tuple(extra["commands"]),
        is_flag=field.annotation is bool,
        is_list=get_origin(field.annotation) is tuple,
        is_secret=extra["secret"],
    )


def _kinds(annotation: Any) -> list[Any]:
    """What an annotation says about its values: `Accepts`, and the words of a Literal."""
    if get_origin(annotation) is Literal:
        words: tuple[str, ...] = get_args(annotation)
        return [Accepts(" or ".join(words), "|".join(words))]
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    return list(getattr(annotation, "__metadata__", ()))


def _accepts(kinds: list[Any]) -> Accepts:
    found = [kind for kind in kinds if isinstance(kind, Accepts)]
    return Accepts(" or ".join(kind.words for kind in found), "|".join(kind.metavar for kind in found))


def _shown(default: Any) -> str:
    if default is None or default is False:
        return ""
    if isinstance(default, tuple):
        return ",".join(cast("tuple[str, ...]", default))
    return f"{default:g}" if isinstance(default, float) else str(default)

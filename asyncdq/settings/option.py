"""The kinds of options, and an option as people see it. The options themselves are the fields of `Settings`."""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import AfterValidator, AllowInfNan, BeforeValidator, Field
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from ..errors import ConfigurationError
from ..names import check_queue

PREFIX = "ASYNCDQ_"
EVERYWHERE = ("worker", "enqueue", "queues", "purge", "dead", "migrate")
EVENTS = ("worker", "enqueue", "events")
WORKER = ("worker",)


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
    parts = [part.strip() for item in items for part in str(item).split(",")]
    return list(dict.fromkeys(part for part in parts if part))


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


def _postgres(dsn: str) -> str:
    if not re.match("(?i)postgres(ql)?://", dsn):
        raise ValueError("a DSN for PostgreSQL looks like postgresql://user:password@host:5432/database")
    return dsn


AnyCase = BeforeValidator(_lower)
Text = Annotated[str, Field(min_length=1), Accepts("some text", "TEXT")]
PostgresDsn = Annotated[str, AfterValidator(_postgres), Accepts("a postgresql:// URL", "DSN")]
Flag = Annotated[bool, Accepts("true or false")]
Count = Annotated[int, Field(ge=1), Accepts("a whole number, 1 or more", "N")]
CountOrZero = Annotated[int, Field(ge=0), Accepts("a whole number, 0 or more", "N")]
Delay = Annotated[float, Field(ge=0), AllowInfNan(False), Accepts("seconds, 0 or more", "SECONDS")]
Duration = Annotated[float, Field(gt=0), AllowInfNan(False), Accepts("seconds, more than 0", "SECONDS")]
File = Annotated[Path, AfterValidator(Path.expanduser), Accepts("a path", "PATH")]
Queue = Annotated[str, AfterValidator(_queue), Accepts("a queue name", "NAME")]
Queues = Annotated[
    tuple[Queue, ...], NoDecode, BeforeValidator(_split), AfterValidator(_some), Accepts("queue names", "NAME,...")
]
Modules = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Accepts("module names", "MODULE,...")]


def option(default: Any, help: str, *, short: str | None = None, commands: tuple[str, ...] = WORKER) -> Any:
    """A field of `Settings`, with its help text, its short flag and the commands that take it."""
    return Field(default, description=help, json_schema_extra={"short": short, "commands": list(commands)})


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

"""Where settings come from, the strongest first; kept apart, so that an error can say where a value stands."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from ..errors import ConfigurationError
from .option import Option, describe, expanded, files_of_keys


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says: values by field name, and how that source spells an option. `file` if it is one."""

    values: Mapping[str, Any]
    spell: Callable[[Option], str]
    file: Path | None = None


def read_layers(settings: type[BaseSettings], given: Mapping[str, Any]) -> list[Layer]:
    """All layers, the strongest first; the last is the TOML file. Raises ConfigurationError."""
    refuse_unknown(given, settings.model_fields, "")
    environment = [
        Layer(given, lambda option: option.flag),
        Layer(EnvSettingsSource(settings)(), lambda option: option.variable),
        Layer(_dotenv(settings), lambda option: f"{option.variable} in {Path('.env').absolute()}"),
    ]
    config = next((layer.values["config"] for layer in environment if layer.values.get("config")), None)
    return [*environment, _toml(settings, _path(config, "config") if config else None)]


def find(name: str, fields: Mapping[str, FieldInfo], layers: Sequence[Layer]) -> tuple[Any, str, int] | None:
    """The value of an option, how its source spells it, and the rank of that source (0 is the strongest)."""
    for rank, layer in enumerate(layers):
        if layer.values.get(name) is not None:
            return layer.values[name], layer.spell(describe(name, fields[name])), rank
    return None


def refuse_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raises ConfigurationError for the first key that is not known, naming those that look like it."""
    for key in values:
        if key not in known:
            raise ConfigurationError(f"{key!r}{where} is not an option{did_you_mean(key, known)}")


def did_you_mean(word: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'a' or 'b'?`, or nothing if nothing is near."""
    near = difflib.get_close_matches(word, known, n=2, cutoff=cutoff)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def _path(value: Any, where: str) -> Path:
    try:
        return expanded(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{where}: {error}") from None


def names_in_dotenv(settings: type[BaseSettings]) -> list[str]:
    """All names in the file `.env`, in the case in which the environment has them."""
    return [name.upper() for name in DotEnvSettingsSource(settings).env_vars]


def _dotenv(settings: type[BaseSettings]) -> Mapping[str, Any]:
    try:
        found = DotEnvSettingsSource(settings)()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{Path('.env').absolute()} cannot be read: {error}") from None
    # It is everybody's file: what is for other programs arrives too, under names that no option has.
    return {name: value for name, value in found.items() if name in settings.model_fields}


def _toml(settings: type[BaseSettings], config: Path | None) -> Layer:
    file, table = _named(config) if config else _nearest(Path.cwd())
    refuse_unknown(table, settings.model_fields.keys() - {"config"}, f" in {file}")
    values = {name: _from_file(name, value, file) for name, value in table.items()}
    return Layer(values, lambda option: f"{option.name} in {file}", file)


def _from_file(name: str, value: Any, file: Path | None) -> Any:
    """A relative path in a file is meant from that file's folder, not from where the command runs."""
    if file is not None and name == "signing_keys":
        try:
            return files_of_keys(value, file.parent)
        except ValueError as error:
            raise ConfigurationError(f"{name} in {file}: {error}") from None
    if file is None or not isinstance(value, str):
        return value
    if name.endswith("_path") and value != ":memory:":
        return str(file.parent / _path(value, f"{name} in {file}"))
    scheme, _, rest = value.strip().partition("://")
    place = unquote(rest.partition("?")[0])
    if name == "url" and scheme.lower() == "sqlite" and place not in ("", ":memory:") and not place.startswith("/"):
        return f"{scheme}://{quote(str(_path(file.parent, f'{name} in {file}')), safe='/:')}/{rest}"
    return value


def _named(file: Path) -> tuple[Path, Mapping[str, Any]]:
    """The options in a file that the user named: its [tool.asyncdq], or else all of it."""
    document = _parse(file.absolute())
    ours = _tool_table(document)
    if ours is None and file.name == "pyproject.toml":
        raise ConfigurationError(f"{file.absolute()} has no table [tool.asyncdq]")
    return file.absolute(), document if ours is None else ours


def _nearest(folder: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """The nearest pyproject.toml with a table for us, from `folder` upwards."""
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        ours = _tool_table(_parse(file)) if file.is_file() else None
        if ours is not None:
            return file, ours
    return None, {}


def _tool_table(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tools = document.get("tool")
    ours = cast("Mapping[str, Any]", tools).get("asyncdq") if isinstance(tools, dict) else None
    return cast("Mapping[str, Any]", ours) if isinstance(ours, dict) else None


def _parse(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None

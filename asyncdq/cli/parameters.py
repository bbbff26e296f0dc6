"""Commands whose options are the fields of `Settings`: flags, help and variables cannot drift apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from ..settings import load, options
from ..settings.option import Option

Command = Callable[..., None]


def with_settings(name: str, function: Command) -> Command:
    """`function(settings, ...)` as the command that takes the options shown by `name`, beside its own."""
    shown = [option for option in options() if name in option.commands]

    def command(**values: Any) -> None:
        given = {option.name: values.pop(option.name) for option in shown}
        function(load({key: value for key, value in given.items() if value not in (None, [])}), **values)

    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    parameters = [*own, *map(_parameter, shown)]
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    command.__doc__ = function.__doc__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
    command.__dict__["__signature__"] = inspect.Signature(named)
    return command


def _parameter(option: Option) -> inspect.Parameter:
    """All values arrive as text: what is accepted is said, and checked, by the field alone."""
    default_shown = f" [default: {option.default}]" if option.default else ""
    about: dict[str, Any] = {"help": option.help + default_shown, "show_default": False}
    default: Any
    if option.name == "tasks":
        default = typer.Argument(None, metavar=option.flag, **about)
    elif option.is_flag:
        default = typer.Option(None, f"{option.flag}/--no-{option.flag[2:]}", *option.shorts, **about)
    else:
        default = typer.Option(None, option.flag, *option.shorts, metavar=option.accepts.metavar, **about)
    kind: Any = list[str] if option.is_list else bool if option.is_flag else str
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind | None)

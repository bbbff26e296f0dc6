"""`asyncdq enqueue`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import typer

from ..client import Client
from ..default import emitters_of
from ..errors import InvalidCall, UndecodableBody
from ..message import Call, CallOptions, Enqueued
from ..serializers import load
from ..settings import Settings
from .driver import new_driver
from .modules import importable_here

ARGUMENTS = "A JSON list (positional) or object (by name), or the one and then the other."
Arguments = Annotated[str, typer.Argument(metavar="ARGS_JSON", show_default=False, help=ARGUMENTS)]


def enqueue(
    settings: Settings,
    task: Annotated[str, typer.Argument(metavar="NAME", help="The task's name: app.tasks.send_email.")],
    arguments: Arguments = "[]",
    queue: Annotated[
        str | None, typer.Option(metavar="NAME", help="The queue; the task's own is not known here.")
    ] = None,
    id: Annotated[
        str | None, typer.Option(metavar="TEXT", help="An id of your own; stored once while it waits or runs.")
    ] = None,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="The wait before it may start.")] = None,
    max_attempts: Annotated[int | None, typer.Option(metavar="N", help="Failures after which it is buried.")] = None,
    retry_delay: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="The wait before the second attempt.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="The longest that it may run.")] = None,
    visibility_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How soon it is taken over from a dead worker.")
    ] = None,
) -> None:
    """Enqueue a task by its name and print its id. The task need not be importable here."""
    importable_here()  # as for the worker: a serializer of the user's
    args, kwargs = parse(arguments)
    options = CallOptions(
        id=id,
        queue=queue,
        delay=delay,
        max_attempts=max_attempts,
        retry_delay=retry_delay,
        timeout=timeout,
        visibility_timeout=visibility_timeout,
    )
    stored = asyncio.run(_send(settings, Call(task, args, kwargs, options)))
    if not stored.created:
        print(f"{stored.id} is waiting or running already; nothing was stored", file=sys.stderr)
    print(stored.id)


def parse(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments from JSON, as `asyncdq dead show` prints them. Raises InvalidCall."""
    values = [_restored(part) for part in _parts(text)]
    args: Any = values.pop(0) if isinstance(values[0], list) else []
    kwargs: Any = values.pop(0) if values else {}
    if values or not _are_named(kwargs):
        raise InvalidCall(
            "ARGS_JSON is a JSON list or object, or the one and then the other, such as '[1, \"a\"]', '{\"x\": 1}'"
            f" or '[1] {{\"x\": 2}}', not {text}"
        )
    return tuple(args), kwargs


def _are_named(value: dict[Any, Any] | str | float | None) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _parts(text: str) -> list[str]:
    """The JSON values that stand one behind the other in the text; at least one."""
    parts: list[str] = []
    text, start = text.strip(), 0
    while start < len(text) or not parts:
        try:
            _, end = json.JSONDecoder().raw_decode(text, start)
        except ValueError as error:
            raise InvalidCall(f"ARGS_JSON is not JSON: {error}; a text looks so: '[\"a\"]'") from None
        except RecursionError:
            raise InvalidCall("ARGS_JSON is nested too deeply") from None
        parts.append(text[start:end])
        start = end
        while text[start : start + 1].isspace():
            start += 1
    return parts


def _restored(part: str) -> Any:
    """The value, with what its marks say in their places: `{"$date": "2026-01-31"}` is a date."""
    try:
        return load("json").loads(part.encode())
    except (UndecodableBody, UnicodeEncodeError) as error:
        raise InvalidCall(f"ARGS_JSON: {error}") from None


async def _send(settings: Settings, call: Call[Any]) -> Enqueued[Any]:
    client = Client(
        new_driver(settings),
        serializer=settings.serializer,
        default_queue=settings.task_defaults_queue,
        emitters=emitters_of(settings),
        signing_keys=settings.signing_keys or (),
    )
    async with client:
        return (await client.enqueue_many([call]))[0]

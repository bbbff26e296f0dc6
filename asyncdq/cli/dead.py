"""`asyncdq dead list | show | requeue | delete`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer

from ..drivers.base import BaseDriver, DeadLetters
from ..envelope import decode
from ..errors import AsyncdqError, ConfigurationError
from ..message import REASONS, DeadLetter
from ..names import check_queue, shown
from ..serializers import load
from ..settings import Settings
from .driver import ask, confirm, dead_letters
from .table import moment, print_table

PAGE = 500
LONGEST = 1000  # characters of arguments that are shown to people
READ = ("msgpack", "json")  # serializers that run nothing: neither pickle nor one of the user's is asked here
Queue = Annotated[str, typer.Argument(help="The queue that they died in.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Their ids.")]
All = Annotated[bool, typer.Option("--all", help="Every dead letter of the queue.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
Move = Callable[[DeadLetters, str, Sequence[str]], Awaitable[list[str]]]


def list(
    settings: Settings,
    queue: Queue,
    limit: Annotated[int, typer.Option(min=1, help="The most to show, the oldest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List the dead letters of a queue."""
    check_queue(queue)
    letters = ask(settings, lambda driver: _page(dead_letters(driver), queue, limit))
    if as_json:
        for letter in letters:
            print(json.dumps(whole(letter)))
    elif not letters:
        print(f"no dead letters in {queue}")
    else:
        heads = ("id", "task", "died_at", "attempts", "reason", "error")
        print_table(heads, [[str(about(letter)[head]) for head in heads] for letter in letters])


def show(
    settings: Settings,
    queue: Queue,
    id: Annotated[str, typer.Argument(help="Its id.")],
    as_json: Json = False,
) -> None:
    """Show one dead letter: why and when it died, its arguments, error and traceback."""
    check_queue(queue)
    letter = ask(settings, lambda driver: dead_letters(driver).dead_letter(queue, id))
    if letter is None:
        raise AsyncdqError(f"{queue} has no dead letter {id}")
    if as_json:
        print(json.dumps(whole(letter)))
        return
    for key, value in (about(letter) | {"arguments": _brief(typed(arguments(letter)))}).items():
        if key != "detail":
            print(f"{key + ':':13}{shown(str(value))}")
    detail = "\n".join(map(shown, letter.detail.splitlines()))
    print(f"{'means:':13}{REASONS.get(letter.reason, 'unknown to this version')}\n\n{detail}".rstrip())


def requeue(settings: Settings, queue: Queue, ids: Ids = None, all: All = False) -> None:
    """Make dead letters ready again, with the same ids and fresh attempts."""
    _move(settings, queue, ids or [], all, lambda letters, queue, ids: letters.requeue(queue, ids), "requeued")


def delete(
    settings: Settings,
    queue: Queue,
    ids: Ids = None,
    all: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete dead letters for good."""
    if all or ids:
        confirm(f"Delete {'all' if all else len(ids or [])} dead letters of {queue!r} for good?", yes)
    _move(settings, queue, ids or [], all, lambda letters, queue, ids: letters.delete_dead(queue, ids), "deleted")


def about(letter: DeadLetter) -> dict[str, Any]:
    """What people want to know of a dead letter; what only its body says is `?` if that cannot be read."""
    try:
        envelope = decode(letter.body)
        task, enqueued = envelope.task, envelope.options.get("enqueued_at")
    except AsyncdqError:
        task, enqueued = "?", None
    return {
        "id": letter.id,
        "queue": letter.queue,
        "task": task,
        "enqueued_at": moment(enqueued) if isinstance(enqueued, (int, float)) else "?",
        "died_at": moment(letter.died_at),
        "attempts": letter.attempts,
        "reason": letter.reason,
        "error": letter.error,
        "detail": letter.detail,
    }


def whole(letter: DeadLetter) -> dict[str, Any]:
    """What people want to know, and what the task was called with."""
    return about(letter) | {"arguments": arguments(letter)}


def arguments(letter: DeadLetter) -> Any:
    """`[[positional, ...], {name: value}]` as the serializer for JSON writes it; `? (why)` if it cannot be read."""
    try:
        envelope = decode(letter.body)
        for serializer in map(load, READ):
            if serializer.content_type == envelope.content_type:
                return _plain(serializer.loads(envelope.args))
    except AsyncdqError as error:
        return f"? ({error})"
    return f"? ({envelope.content_type!r:.100} is not read here)"


def _plain(called_with: Any) -> Any:
    match called_with:
        case [[*_], {}]:
            return json.loads(load("json").dumps(called_with))
        case _:
            return "? (they are not a list and a map)"


def typed(arguments: Any) -> str:
    """Arguments as `asyncdq enqueue` takes them: a list or an object, or the one and then the other."""
    if isinstance(arguments, str):
        return arguments
    positional, named = arguments
    parts = [positional, named] if positional and named else [named or positional]
    text = " ".join(json.dumps(part, ensure_ascii=False) for part in parts)
    # What `shown` would escape is escaped as JSON has it: it stands inside a string, and there is no \x7f.
    return "".join(each if shown(each) == each else json.dumps(each)[1:-1] for each in text)


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def _move(settings: Settings, queue: str, ids: Sequence[str], all: bool, move: Move, done: str) -> None:
    """Move the letters that were named, or all; exit code 1 if one of those named was not there."""
    check_queue(queue)
    if all == bool(ids):
        raise ConfigurationError("name the ids of the dead letters, or say --all")

    async def answer(driver: BaseDriver) -> tuple[Sequence[str], Sequence[str]]:
        letters = dead_letters(driver)
        wanted = await _ids(letters, queue) if all else ids
        moved = [
            id
            for start in range(0, len(wanted), PAGE)
            for id in await move(letters, queue, wanted[start : start + PAGE])
        ]
        return wanted, moved

    wanted, moved = ask(settings, answer)
    print(f"{done} {len(moved)} of {queue}")
    missing = sorted(set(wanted) - set(moved))
    if missing:
        raise AsyncdqError(f"not {done}: {', '.join(missing)} (no dead letter, or waiting or running again)")


async def _page(letters: DeadLetters, queue: str, limit: int) -> Sequence[DeadLetter]:
    return await letters.dead(queue, limit)


async def _ids(letters: DeadLetters, queue: str) -> Sequence[str]:
    """The ids of all that are dead now: read first, so that what dies again meanwhile is not met twice."""
    found: Sequence[str] = []
    while page := await letters.dead(queue, PAGE, found[-1] if found else None):
        found = [*found, *(letter.id for letter in page)]
    return found

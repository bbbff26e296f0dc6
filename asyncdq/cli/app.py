"""All commands together, and what becomes of an error: one line on stderr, never a traceback.

Exit codes: 0 done, 1 the backend failed or what was asked for is not there, 2 the command is wrong,
130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from .. import __version__
from ..errors import AsyncdqError, ConfigurationError, SerializationError, TaskError
from ..names import shown
from ..url import masked
from .group import Branch, Entry, Group, plain

LONGEST = 1000
"""Characters of an error at most; the middle of a longer one is left out."""


class Letters(Group):
    """`asyncdq dead`."""

    table = {
        "list": Entry("List the dead letters of a queue.", "dead", "list", "dead"),
        "show": Entry(
            "Show one dead letter: why and when it died, its arguments, error and traceback.", "dead", "show", "dead"
        ),
        "requeue": Entry(
            "Make dead letters ready again, with the same ids and fresh attempts.", "dead", "requeue", "dead"
        ),
        "delete": Entry("Delete dead letters for good.", "dead", "delete", "dead"),
    }


class Commands(Group):
    """`asyncdq`."""

    table = {
        "worker": Entry(
            "Run the tasks of MODULES, or of the tasks.py files found here, until told to stop.",
            "worker",
            "worker",
            "worker",
        ),
        "enqueue": Entry("Enqueue a task by its name and print its id.", "enqueue", "enqueue", "enqueue"),
        "queues": Entry(
            "Show how many tasks each queue holds: ready, delayed, leased (running) and dead.",
            "queues",
            "queues",
            "queues",
        ),
        "purge": Entry(
            "Delete what waits in a queue, ready or delayed; never what runs, nor its dead letters.",
            "queues",
            "purge",
            "purge",
        ),
        "migrate": Entry("Bring the backend's schema up to date.", "migrate", "migrate", "migrate"),
        "events": Entry("Print what happens to tasks and workers, live, until Ctrl-C.", "events", "events", "events"),
        "dead": Branch("Look at dead letters, run them again or delete them.", Letters),
    }


app = plain(Commands)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"asyncdq {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def asyncdq(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A task queue that loses nothing, on the infrastructure you already have."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command (default: the process's own arguments) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if it was closed
            stream.reconfigure(errors="backslashreplace")
    try:
        code = get_command(app).main(arguments, prog_name="asyncdq", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe can still be met quietly
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for the flush at exit
        return 1
    except BaseException as error:
        complaint = _complaint(error)
        if complaint is None:
            raise
        message, code = complaint
        print("error:", _one_line(_without_urls(message, arguments or sys.argv[1:])), file=sys.stderr)
    return code if isinstance(code, int) else 0


def _complaint(error: BaseException) -> tuple[str, int] | None:
    """What there is to say of an error, and the exit code; None if it is a bug."""
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted", 130
    if isinstance(error, AsyncdqError):
        wrong = isinstance(error, (ConfigurationError, TaskError, SerializationError))
        return str(error), 2 if wrong else 1
    # What typer finds wrong with the arguments; the name of its class depends on typer's version.
    said = getattr(error, "format_message", None)
    return None if said is None else (str(said()), 2)


def _one_line(message: str) -> str:
    line = shown(" ".join(message.split()))
    # What was typed may be a file's content by mistake.
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def _without_urls(message: str, arguments: Sequence[str]) -> str:
    """The message with no URL that was typed where none belongs: it may hold a password."""
    for word in arguments:
        if "://" in word:
            message = message.replace(word, masked(word)).replace(repr(word)[1:-1], masked(word))
    return message

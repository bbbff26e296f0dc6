"""All commands together, and what becomes of an error: one line on stderr, never a traceback.

Exit codes: 0 done, 1 the backend failed or what was asked for is not there, 2 the command is wrong,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from .. import __version__
from ..errors import AsyncdqError, ConfigurationError, SerializationError, TaskError
from . import dead, enqueue, events, migrate, queues, worker
from .parameters import Command, with_settings

EPILOG = (
    "Each option is also a variable (--sqlite-path: ASYNCDQ_SQLITE_PATH) and a key of [tool.asyncdq] (sqlite_path)."
)

# Plain help: what draws the boxes would cost each start more than everything else here.
app = typer.Typer(name="asyncdq", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
letters = typer.Typer(rich_markup_mode=None, help="Look at dead letters, run them again or delete them.")

COMMANDS: dict[str, Command] = {
    "worker": worker.worker,
    "enqueue": enqueue.enqueue,
    "queues": queues.queues,
    "purge": queues.purge,
    "migrate": migrate.migrate,
    "events": events.events,
}
LETTERS: dict[str, Command] = {
    "list": dead.list,
    "show": dead.show,
    "requeue": dead.requeue,
    "delete": dead.delete,
}
for name, command in COMMANDS.items():
    app.command(name, epilog=EPILOG)(with_settings(name, command))
for name, command in LETTERS.items():
    letters.command(name, epilog=EPILOG)(with_settings("dead", command))
app.add_typer(letters, name="dead")


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
    try:
        code = get_command(app).main(arguments, prog_name="asyncdq", standalone_mode=False)
        sys.stdout.flush()  # here, where a closed pipe can still be met quietly
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", 130)
    except (ConfigurationError, TaskError, SerializationError) as error:
        return _complain(str(error), 2)
    except AsyncdqError as error:
        return _complain(str(error), 1)
    except Exception as error:
        # What typer finds wrong with the arguments; the name of its class depends on typer's version.
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        return _complain(str(said()), 2)
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return code

"""Which modules hold the tasks. Only the operator chooses code: a message never triggers an import."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ..errors import ConfigurationError

logger = logging.getLogger("asyncdq.worker")


def import_modules(names: Sequence[str]) -> Sequence[str]:
    """Import these modules, or those that `discover` finds; the working directory comes first on the path.

    Returns their names. Raises ConfigurationError if one cannot be imported, or none is found.
    """
    here = importable_here()
    found = names or discover(here)
    if not found:
        raise ConfigurationError(
            f"no module with tasks: {here} has no tasks.py and no */tasks.py; name one: asyncdq worker app.tasks"
        )
    for name in found:
        _import(name)
    return found


def importable_here() -> Path:
    """The working directory, from now on first on the path."""
    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    return here


def discover(folder: Path) -> list[str]:
    """The modules `tasks.py` and `*/tasks.py` of a folder, by their dotted names."""
    files = [*folder.glob("tasks.py"), *sorted(folder.glob("*/tasks.py"))]
    names = [file.relative_to(folder).with_suffix("").parts for file in files]
    return [".".join(parts) for parts in names if all(part.isidentifier() for part in parts)]


def _import(name: str) -> None:
    if "://" in name:  # not repeated: it may hold a password
        raise ConfigurationError("a URL is no module with tasks; write --url before it")
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise ConfigurationError(f"{name!r} is a file; name its module: asyncdq worker {dotted}")
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from error
        raise ConfigurationError(f"there is no module {name!r} here or on the path ({Path.cwd()})") from None
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> ConfigurationError:
    logger.debug("the import of %s failed", name, exc_info=error)
    last = traceback.format_exception_only(error)[-1].strip()
    text = f"the module {name!r} cannot be imported: {last}{_where(error)}; --log-level debug shows more"
    return ConfigurationError(text)


def _where(error: BaseException) -> str:
    """The file and line that are to be mended, if that is known."""
    if isinstance(error, SyntaxError) and error.filename:  # what has read the file is Python's own import
        return f" ({error.filename}:{error.lineno})" if error.lineno else f" ({error.filename})"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or frames[-1].filename.startswith("<frozen importlib"):
        return ""
    return f" ({frames[-1].filename}:{frames[-1].lineno})"

"""`python -m asyncdq.testing module:BACKEND [pytest arguments]`: the contract suite on a driver of yours."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ..errors import MissingExtra
from .backend import Backend

USAGE = "usage: python -m asyncdq.testing module:BACKEND [pytest arguments]"

SUITE = Path(__file__).parent / "suite"

NEEDED = ("pytest", "pytest_asyncio", "pytest_timeout", "hypothesis", "psutil")

ARGUMENTS = [
    str(SUITE),
    f"--config-file={SUITE.with_name('contract.ini')}",  # and not the one of the project around it
    f"--rootdir={SUITE}",
    *("-p", "asyncdq.testing.plugin", "-p", "no:cacheprovider", "-p", "no:anyio"),
]


class Given:
    """The backend of the command line, as a plugin of pytest."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def pytest_asyncdq_backends(self) -> list[Backend]:
        """This one only."""
        return [self._backend]


def backend_of(name: str) -> Backend | str:
    """What `module:BACKEND` names, or what is wrong with it."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        return USAGE
    sys.path.insert(0, "")
    try:
        found = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        return f"there is no module {module!r} here or on the path"
    return found if isinstance(found, Backend) else f"{name} is not an asyncdq.testing.Backend"


def main(arguments: list[str]) -> int | str:
    """pytest's exit code, or why it was not run."""
    if not all(map(find_spec, NEEDED)):
        return str(MissingExtra("the contract suite", "testing"))
    import pytest

    backend = backend_of(arguments[0] if arguments else "")
    if isinstance(backend, str):
        return backend
    return pytest.main([*ARGUMENTS, *arguments[1:]], plugins=[Given(backend)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The house: who may import whom.

The rules are tables; a check reads sources and yields a complaint for each violation. Every check is
shown at the end to find a violation that was planted.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .sources import Check, Sources, calls, found_in, imports_of, name_of, read

ROOT = Path(__file__).resolve().parents[2]

# Who may import whom, besides files of its own folder. `drivers` is the folder's __init__, `drivers.*` all of it.
FLOORS = {
    "value": "",
    "soon": "",
    "message": "value",
    "seconds": "",
    "signals": "seconds",
    "errors": "message",
    "names": "errors",
    "misuse": "message errors",
    "matching": "",
    "schemas": "",
    "arguments": "errors matching schemas",
    "batcher": "errors soon",
    "blocking": "errors",
    "ranges": "message errors names seconds",
    "signing": "errors",
    "url": "errors",
    "settings.*": "errors names signing url",
    "context": "message value",
    "retry": "message errors seconds signals",
    "serializers.*": "message errors",
    "events.redis": "errors events.types events.wire drivers.redis_address drivers.redis_link",
    "events.subscriber": "errors events.types events.wire drivers.redis_address drivers.redis_link",
    "events.*": "message errors names soon",
    "drivers.*": "message errors soon url",
    "envelope": "message errors ranges value serializers.base",
}
LOW = " ".join(FLOORS)
FLOORS["testing.*"] = "message errors drivers.base"
FLOORS["client"] = LOW.replace("drivers.*", "drivers drivers.base")
FLOORS["default"] = f"{FLOORS['client']} client"
FLOORS["task"] = "default client retry context message errors"
FLOORS["tasks"] = "task retry message errors names ranges"
FLOORS["worker.*"] = f"{LOW} client default task tasks"
FLOORS["cli.*"] = f"{FLOORS['worker.*']} worker.* __init__"
FLOORS["__main__"] = "cli.*"
FLOORS["__init__"] = f"{FLOORS['worker.*']} worker.*"

# Which files may import what is not ours and not in the standard library, and sqlite3, which is a client library too.
LIBRARIES = {
    "sqlite3": "drivers/sqlite*",
    "redis": "drivers/redis*",
    "asyncpg": "drivers/postgres*",
    "aiomysql": "drivers/mysql*",
    "pymysql": "drivers/mysql*",
    "aio_pika": "drivers/rabbitmq*",
    "aiormq": "drivers/rabbitmq*",
    "aioboto3": "drivers/sqs*",
    "aiobotocore": "drivers/sqs*",
    "botocore": "drivers/sqs*",
    "pydantic": "settings/* arguments.py schemas.py",
    "pydantic_settings": "settings/*",
    "pydantic_core": "settings/* arguments.py schemas.py",
    "msgpack": "envelope.py serializers/*",
    "typer": "cli/*",
    "rich": "cli/*",
    "uvloop": "cli/* worker/*",
    "pytest": "testing/*",
    "hypothesis": "testing/suite/test_model.py",
    "psutil": "testing/suite/test_wait.py",
}

# Which files may import a module whose name they compute. A message never triggers an import: the operator names
# the modules of tasks, the settings name the serializer, a table the commands, and a child of the pool finds the task
# that its worker knows.
BY_NAME = (
    "__init__.py drivers/__init__.py serializers/__init__.py cli/group.py cli/modules.py worker/child.py "
    "testing/__main__.py"
)


def allowed(name: str, patterns: str) -> bool:
    """Whether a file's name is in a row of FLOORS: `drivers.*` is the folder with its __init__."""
    return any(name == row or (row.endswith(".*") and f"{name}.".startswith(row[:-1])) for row in patterns.split())


def floor_of(name: str) -> str | None:
    return next((floor for floor in FLOORS if allowed(name, floor)), None)


def wrong_floor(sources: Sources) -> Iterator[str]:
    """An arrow from a lower floor to a higher one. What only a type checker imports keeps the same order."""
    files = {source.name for source in sources}
    for source in sources:
        floor = floor_of(source.name)
        if floor is None:
            yield f"{source.path}: has no floor; give it one in FLOORS"
            continue
        for found in imports_of(source, files):
            if found.ours and not allowed(found.target, f"{floor} {FLOORS[floor]}"):
                how = " under TYPE_CHECKING" if found.typing_only else ""
                yield f"{source.path}:{found.line}: may not import {found.target}{how}"


def foreign_import(sources: Sources) -> Iterator[str]:
    """A library outside the files that may use it; any that is not in LIBRARIES is not a dependency of ours."""
    for source in sources:
        for found in imports_of(source, set()):
            known = found.target in LIBRARIES or found.ours or found.target not in sys.stdlib_module_names
            places = LIBRARIES.get(found.target, "")
            if known and not found.ours and not any(fnmatch(source.inside, place) for place in places.split()):
                yield f"{source.path}:{found.line}: may not import {found.target}; allowed in: {places or 'no file'}"


def circle(sources: Sources) -> Iterator[str]:
    """Files that need each other at run time, lazily or not."""
    files = {source.name for source in sources}
    graph = {
        source.name: {found.target for found in imports_of(source, files) if found.ours and not found.typing_only}
        for source in sources
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"a circle of imports: {' -> '.join(error.args[1])}"


def import_by_name(sources: Sources) -> Iterator[str]:
    """An import of a computed name outside the files whose business that is."""
    for source in sources:
        for call in calls(source, "import_module", "importlib.import_module", "__import__"):
            fixed = call.args and isinstance(call.args[0], ast.Constant)
            if not fixed and source.inside not in BY_NAME.split():
                yield f"{source.path}:{call.lineno}: imports what a variable names"


def eager_task(sources: Sources) -> Iterator[str]:
    """A task that a loop with an eager factory runs before whoever starts it has noted it down: see soon.py."""
    for source in sources:
        elsewhere = not fnmatch(source.inside, "testing/*") and source.inside != "soon.py"
        for node in source.nodes:
            if elsewhere and isinstance(node, ast.Attribute) and node.attr == "create_task":
                yield f"{source.path}:{node.lineno}: starts a task; use start_soon"


CHECKS: list[Check] = [wrong_floor, foreign_import, circle, import_by_name, eager_task]

PLANTED: list[tuple[Check, str, str]] = [
    (wrong_floor, "asyncdq/message.py", "from .errors import AsyncdqError"),
    (wrong_floor, "asyncdq/drivers/sqlite.py", "def later():\n    from ..client import Client"),
    (wrong_floor, "asyncdq/client.py", "from .drivers.sqlite import SqliteDriver"),
    (wrong_floor, "asyncdq/task.py", "import importlib\nimportlib.import_module('.worker', __package__)"),
    (wrong_floor, "asyncdq/worker/job.py", "from .. import cli"),
    (wrong_floor, "asyncdq/novelty.py", '"""A file that nobody gave a floor."""'),
    (foreign_import, "asyncdq/client.py", "def later():\n    import redis.asyncio"),
    (foreign_import, "asyncdq/client.py", "import sqlite3"),
    (foreign_import, "asyncdq/task.py", "from pydantic import TypeAdapter"),
    (foreign_import, "asyncdq/worker/worker.py", "import psutil"),
    (circle, "asyncdq/cli/app.py", "from . import client"),
    (import_by_name, "asyncdq/envelope.py", "import importlib\nimportlib.import_module(task)"),
    (import_by_name, "asyncdq/worker/job.py", "__import__(task)"),
    (eager_task, "asyncdq/worker/job.py", "import asyncio\nasyncio.create_task(work())"),
    (eager_task, "asyncdq/worker/job.py", "import asyncio\nasyncio.get_running_loop().create_task(work())"),
]

RIGHT = {
    "asyncdq/cli/client.py": "from asyncdq import __version__\nfrom ..worker import job\nimport rich",
    "asyncdq/worker/__init__.py": '"""The worker."""',
    "asyncdq/worker/job.py": '"""Jobs."""\nfrom ..message import Done\nfrom ..tasks import task',
    "asyncdq/__init__.py": "def __getattr__(name):\n    from .worker import job",
    "asyncdq/drivers/sqlite.py": "import sqlite3\nfrom .base import BaseDriver",
    "asyncdq/client.py": "from .drivers import driver_for\nimport io",
    "asyncdq/task.py": "from .client import Client\nfrom .message import Call",
}


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_the_package_keeps_the_rule(check: Check) -> None:
    sources = read(ROOT, "asyncdq")
    complaints = list(check(sources))
    assert len(sources) > 5
    assert not complaints, "\n".join(complaints)


def test_the_floors_stand_on_each_other_without_a_circle() -> None:
    graph = {floor: {other for other in FLOORS if allowed(other, FLOORS[floor])} - {floor} for floor in FLOORS}
    assert list(TopologicalSorter(graph).static_order())[-1] == "__main__"


@pytest.mark.parametrize(("check", "path", "text"), PLANTED)
def test_a_planted_violation_is_found(check: Check, path: str, text: str, tmp_path: Path) -> None:
    others = {"asyncdq/cli/client.py": "from . import app"} if check is circle else {}
    right = dict.fromkeys(RIGHT, "")
    assert len(found_in(tmp_path, check, right | others | {path: text})) == 1


def test_what_is_right_is_not_reported(tmp_path: Path) -> None:
    assert [complaint for check in CHECKS for complaint in found_in(tmp_path, check, RIGHT)] == []


def test_every_check_has_a_planted_violation() -> None:
    assert {check for check, _, _ in PLANTED} == {*CHECKS}

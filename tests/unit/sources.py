"""Python files as the tests of the house read them: their text, their imports, their comments."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One file: `path` as seen from the root of the checkout."""

    path: str
    text: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> dict[int, str]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}

    @property
    def inside(self) -> str:
        return self.path.removeprefix("asyncdq/")

    @property
    def name(self) -> str:
        """The dotted name within asyncdq: `worker.job`; a folder's __init__ has the folder's name."""
        return self.inside.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


@dataclass(frozen=True)
class Import:
    """`target` is a dotted name: of a file within asyncdq if `ours`, else of a foreign package."""

    target: str
    line: int
    ours: bool
    typing_only: bool


Sources = list[Source]
Check = Callable[[Sources], Iterable[str]]


def read(root: Path, folder: str) -> Sources:
    paths = sorted((root / folder).rglob("*.py"))
    return [Source(path.relative_to(root).as_posix(), path.read_text("utf-8")) for path in paths]


def imports_of(source: Source, files: set[str]) -> list[Import]:
    """Every import of the file, lazy ones inside functions and `import_module("...")` included."""
    typing_only = set(map(id, under_type_checking(source)))
    found: dict[Import, None] = {}
    for node in source.nodes:
        for target in targets_of(node, source):
            ours = target == "asyncdq" or target.startswith("asyncdq.")
            name = owner(target, files) if ours else target.split(".")[0]
            found[Import(name, getattr(node, "lineno", 0), ours, id(node) in typing_only)] = None
    return list(found)


def targets_of(node: ast.AST, source: Source) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = absolute("." * node.level + (node.module or ""), source)
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
        texts = (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))
        return [absolute(text, source) for text in texts if isinstance(text, str)]
    return []


def absolute(name: str, source: Source) -> str:
    """`..message` in asyncdq/worker/job.py is asyncdq.message."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = source.path.split("/")
    return ".".join([*parts[: len(parts) - level], name[level:]]).rstrip(".")


def owner(target: str, files: set[str]) -> str:
    """The file that an imported name belongs to: asyncdq.message.Done is of `message`."""
    parts = target.split(".")[1:]
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    known = (prefix for prefix in prefixes if prefix in files)
    return next(known, ".".join(parts[:-1]) or "__init__")


def under_type_checking(source: Source) -> Iterator[ast.AST]:
    for node in source.nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                yield from ast.walk(statement)


def calls(source: Source, *names: str) -> Iterator[ast.Call]:
    return (node for node in source.nodes if isinstance(node, ast.Call) and ast.unparse(node.func) in names)


def name_of(check: Check) -> str:
    return getattr(check, "__name__", "check")


def found_in(root: Path, check: Check, files: dict[str, str]) -> list[str]:
    """What the check says of a checkout that holds these files."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    sources = [source for folder in ("asyncdq", "tests") for source in read(root, folder)]
    return list(check(sources))

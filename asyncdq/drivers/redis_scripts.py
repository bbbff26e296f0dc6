"""The scripts, from the `.lua` files beside this one, and the keys that they work on.

Every queue has its own keys, in one hash tag, so that each lies in one slot of a Cluster:

    {asyncdq:QUEUE}:ready     list    entries, the next to go first
    {asyncdq:QUEUE}:bodies    hash    id -> body of what is ready, delayed or leased
    {asyncdq:QUEUE}:leased    sorted  entry -> when the lease ends
    {asyncdq:QUEUE}:delayed   sorted  entry -> when it is due
    {asyncdq:QUEUE}:dead      sorted  id -> when it died
    {asyncdq:QUEUE}:letters   hash    id -> when it died, what is said about it (JSON), its body; a line each
    {asyncdq:QUEUE}:wake      channel

All times are microseconds of the server's clock. An entry is token(8) attempt(4) lost(4) id. A claim writes
the token that it was given into the entry: a stale receipt names an entry that exists nowhere any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

PARTS = ("ready", "bodies", "leased", "delayed", "dead", "letters")


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its source, the hash that the server knows it by, and the keys of a queue that it takes."""

    source: bytes
    sha: bytes
    parts: tuple[str, ...]

    def arguments(self, keys: Sequence[bytes], arguments: Iterable[bytes]) -> tuple[bytes, ...]:
        """What stands behind the hash, or the source, in a call."""
        return (b"%d" % len(keys), *keys, *arguments)


def _read(name: str, *parts: str) -> Script:
    source = files(__package__ or "").joinpath(f"redis_{name}.lua").read_bytes()
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode(), parts)


ENQUEUE = _read("enqueue", "ready", "bodies", "delayed")
ENQUEUE_ONE = _read("enqueue_one", "ready", "bodies")
CLAIM = _read("claim", "ready", "bodies", "leased", "delayed")
SETTLE = _read("settle", *PARTS)
EXTEND = _read("extend", "leased")
DUE = _read("due", "ready", "leased", "delayed")
STATS = _read("stats", "ready", "leased", "delayed", "dead")
PURGE = _read("purge", "ready", "bodies", "delayed")
LETTERS = _read("letters", "dead", "letters")
REQUEUE = _read("requeue", "ready", "bodies", "dead", "letters")
DELETE_DEAD = _read("delete_dead", "dead", "letters")


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of keys and channels; drivers of different prefixes do not see each other."""

    prefix: str

    def of(self, script: Script, *queues: str) -> list[bytes]:
        """The keys that a script wants for these queues."""
        return [key for queue in queues for key in _keys(self.prefix, queue, script.parts)]

    def key(self, queue: str, part: str) -> bytes:
        """One key of a queue."""
        return _keys(self.prefix, queue, (part,))[0]

    def channel(self, queue: str) -> bytes:
        """Where it is said that a queue has become ready."""
        return self.key(queue, "wake")

    def pattern(self) -> bytes:
        """What all keys of all queues look like."""
        return self.key("*", "*")

    def queue(self, key: bytes) -> str:
        """The queue that a key of ours belongs to."""
        return key.decode().removeprefix(f"{{{self.prefix}:").rpartition("}:")[0]


@lru_cache(maxsize=10_000)  # to write them anew is a twentieth of a lone enqueue
def _keys(prefix: str, queue: str, parts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(f"{{{prefix}:{queue}}}:{part}".encode() for part in parts)

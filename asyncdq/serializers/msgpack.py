"""MessagePack, the default: compact, and fast for plain arguments."""

from __future__ import annotations

import threading
from functools import partial

from msgpack import ExtType, Packer, Unpacker, packb, unpackb

from ..errors import UndecodableBody
from .kinds import BY_CODE, BY_TYPE, INTEGERS, known, refusal

# An extension holds MessagePack of its own, so each level is a parser inside a parser: 40 kB of stack.
EXTENSIONS_DEPTH = 32
SMALL = 4096  # bytes of a body that cannot ask for much memory, whatever it claims


class _PlainPacker(threading.local):
    """Packs plain data three times as fast as `packb`, which makes a packer per call.

    It has no hook, so that nothing can come in between and use it again; what needs the hook fails here.
    """

    def __init__(self) -> None:
        self.pack = Packer(strict_types=True).pack


class MsgpackSerializer:
    """Keeps every kind of `kinds.KINDS`; those are MessagePack extensions 1 to 10."""

    content_type = "application/msgpack"

    def __init__(self) -> None:
        self._plain = _PlainPacker()

    def dumps(self, value: object) -> bytes:
        """`value` as MessagePack. Raises `UnserializableArgument`."""
        try:
            return self._plain.pack(value)
        except Exception:  # whatever it is, the thorough way below names it, or succeeds
            pass
        try:
            written = _pack(value, 0)
            _unpack(written, 0)  # a key or a member that becomes a map can be written, and not be read
            return written
        except Exception as error:  # code of the user's runs: a property, a field serializer
            raise refusal(value, error) from error

    def loads(self, data: bytes) -> object:
        """What was written. Raises `UndecodableBody`."""
        try:
            return _unpack(data, 0)
        except Exception as error:  # the bytes are anybody's: parser and types raise whatever they like
            raise UndecodableBody(f"the arguments are not readable MessagePack: {error!s:.100}") from None


def _pack(value: object, depth: int) -> bytes:
    return packb(value, default=partial(_mark, depth), strict_types=True)


def _mark(depth: int, value: object) -> object:
    value = known(value)
    kind = BY_TYPE.get(type(value))
    if kind is None or (isinstance(value, int) and value in INTEGERS):
        return value
    if depth == EXTENSIONS_DEPTH:
        raise ValueError(f"tuples, sets and the like are nested over {EXTENSIONS_DEPTH} levels deep")
    return ExtType(kind.code, _pack(kind.write(value), depth + 1))


def _unpack(data: bytes, depth: int) -> object:
    if len(data) > SMALL:
        # Lists are allocated as they are announced. What skips to its end has announced no more than it holds.
        check = Unpacker(max_buffer_size=len(data))
        check.feed(data)
        check.skip()
    return unpackb(data, ext_hook=_HOOKS[depth], strict_map_key=False, timestamp=3)


def _restore(depth: int, code: int, data: bytes) -> object:
    kind = BY_CODE.get(code)
    if kind is None:
        raise ValueError(f"extension {code} is not known here")
    if depth == EXTENSIONS_DEPTH:
        raise ValueError(f"extensions are nested over {EXTENSIONS_DEPTH} levels deep")
    return kind.restore(_unpack(data, depth + 1))


_HOOKS = [partial(_restore, depth) for depth in range(EXTENSIONS_DEPTH + 1)]

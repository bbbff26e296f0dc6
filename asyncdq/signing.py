"""Signatures of messages: HMAC-SHA256 over id, queue and body, as the last header of the envelope.

The digits of the signature are the last 64 bytes of the body. So a body is checked before a parser sees any of it,
and nothing has to be written anew for that. See docs/wire-format.md.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from .errors import ConfigurationError

BLANK: Mapping[str, str] = {"sig": "0" * 64}
"""The headers of a body that is to be signed; others stand before it."""

LEAST_KEY = 16  # characters; whoever can read the queue can try out keys at home

_DIGITS = len(BLANK["sig"])
_MARK = b"\xa3sig\xd9\x40"  # MessagePack: the text `sig`, and the head of a text of 64 bytes


class Keyring:
    """The keys of one application: the first signs, all are believed. Raises ConfigurationError for a weak one."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [check_key(key).encode() for key in keys]
        if not self._keys:
            raise ConfigurationError("no signing key was given where there should be one")

    @classmethod
    def of(cls, keys: Iterable[str] | str) -> Keyring | None:
        """A keyring; None for no keys. A text holds keys with commas between them, at least one. Raises the same."""
        if isinstance(keys, str):
            return cls(key.strip() for key in keys.split(",") if key.strip())
        found = list(keys)
        return cls(found) if found else None

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)} keys)"

    def sign(self, id: str, queue: str, body: bytes) -> bytes:
        """The body, which was encoded with the headers `BLANK`, with its signature."""
        said = body[:-_DIGITS]
        return said + _signature(self._keys[0], id, queue, said)

    def refusal(self, id: str, queue: str, body: bytes) -> str:
        """Why this is not a message of ours, as a sentence; empty if it is."""
        said, signature = body[:-_DIGITS], body[-_DIGITS:]
        for key in self._keys:
            if hmac.compare_digest(_signature(key, id, queue, said), signature):
                return ""
        if not said.endswith(_MARK):
            return "it is not signed; this worker runs only what is signed with one of its keys"
        return "its signature is not of a key that this worker knows, or was made for another id, queue or body"


def check_key(key: object) -> str:
    """The key itself; raises ConfigurationError, which does not repeat it, if it is none or too short."""
    if not isinstance(key, str) or len(key) < LEAST_KEY or not key.isascii() or not key.isprintable():
        raise ConfigurationError(
            f"a signing key is a text of at least {LEAST_KEY} printable ASCII characters; "
            'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    if key.startswith("@") or "," in key:  # as an option is written: it would be a key that can be guessed
        raise ConfigurationError(
            "a signing key neither begins with @ nor holds a comma: only the option --signing-keys reads a file; "
            "here pass what it holds"
        )
    return key


def _signature(key: bytes, id: str, queue: str, said: bytes) -> bytes:
    # An id, a queue or an envelope holds no line break in such a place, so no two messages are one text.
    head = f"asyncdq\n{id}\n{queue}\n".encode(errors="surrogatepass")
    return hmac.digest(key, head + said, "sha256").hex().encode()

"""Which parts a world is built of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .parts import REAL, Parts
from .scripted import ScriptedDriver
from .server import Server


@dataclass(slots=True)
class Variant:
    """The real parts, or one with a planted bug."""

    parts: Parts = REAL
    driver: Callable[..., ScriptedDriver] = ScriptedDriver
    server: Callable[..., Server] = Server

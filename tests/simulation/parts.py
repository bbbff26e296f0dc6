"""What a simulated worker is made of. A planted bug exchanges one part."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from asyncdq.worker.config import Config
from asyncdq.worker.crew import Crew, Machine
from asyncdq.worker.shift import Shift
from asyncdq.worker.watchdog import NameOf, Patience

from .machine import ScriptedProcess


def _unwatched(patience: Patience, name_of: NameOf) -> AbstractContextManager[object]:
    """Virtual time stands still while code runs: nothing can block the loop."""
    return nullcontext()


SIMULATED = Machine(ScriptedProcess, _unwatched)
"""A machine whose processes are none, and on which nobody watches the event loop."""


class Parts:
    """The real parts, on a simulated machine."""

    machine: Machine = SIMULATED

    def crew(self, config: Config, real: Crew) -> Crew:
        """The crew that the worker works with."""
        return real

    def shift(self, config: Config, crew: Crew) -> Shift:
        """The shift that it works."""
        return Shift(config, crew)


REAL = Parts()

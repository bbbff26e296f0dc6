"""What the worker says. Nothing that it does may hang on who writes that down."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any


class Log(logging.LoggerAdapter[logging.Logger]):
    """What a handler or a filter of the user's raises goes to standard error, as what handlers cannot write does.

    Else it would end the renewal of all leases, or strand what a claim has brought, in the middle of a line.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Every other method comes down to this one."""
        try:
            self.logger.log(level, msg, *args, stacklevel=2, **kwargs)  # the caller's place, not this one
        except Exception:
            _complain()

    def log_with(self, trace: str, level: int, msg: object, *args: object, extra: Mapping[str, object]) -> None:
        """The same with a traceback that is text already, as formatters find that of an error."""
        try:
            place = self.logger.findCaller(stacklevel=2)[:3]
            name = self.logger.name
            record = self.logger.makeRecord(name, level, *place[:2], msg, args, None, place[2], extra)
            record.exc_text = trace
            self.logger.handle(record)
        except Exception:
            _complain()


def _complain() -> None:
    if logging.raiseExceptions:
        traceback.print_exc()


log = Log(logging.getLogger("asyncdq.worker"))

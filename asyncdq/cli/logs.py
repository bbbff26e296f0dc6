"""How the worker logs: to stderr, in lines for people or as one JSON object per line.

A JSON line has `time` (ISO 8601, UTC), `level`, `logger`, `message`, every extra field of the record,
`task` and `task_id` if a task wrote it, and `exception` (the traceback) if there is one.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Literal

from ..context import running

# What each record has anyway; anything else came in by `extra=`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """Time, level and message; a traceback follows, on lines of its own that begin with blanks.

    So no line of an error's text can pass for one of the log.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self._second = -1
        self._text = ""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return line.replace("\n", "\n  ") if record.exc_text else line

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - its name in logging
        """Written once per second, for that takes longer than the rest of the line."""
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return self._text


_encode = json.JSONEncoder(default=str, allow_nan=False).encode


class JsonFormatter(logging.Formatter):
    """One JSON object, whatever came by `extra=`; a value that JSON cannot have is written as its text."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        extra = _writer(record) | {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            extra["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:  # that of a task: the worker has it as text only
            extra["exception"] = record.exc_text
        try:
            return _encode(extra | line)
        except Exception:  # NaN, a key that is no text, a circle, or code of the user's: a __str__
            parts = [f"{_encode(str(key))}: {_apart(value)}" for key, value in (extra | line).items()]
            return f"{{{', '.join(parts)}}}"


def _apart(value: object) -> str:
    """The value as JSON, else its text; if that cannot be had either, what kind of error it was."""
    try:
        return _encode(value)
    except Exception:
        try:
            return _encode(str(value))
        except Exception as error:  # its __str__ may raise anything
            return _encode(f"? ({type(error).__name__})")


def _writer(record: logging.LogRecord) -> dict[str, Any]:
    """The task that is running here; our own lines name theirs themselves, and are of no task if they do not."""
    current = running.get(None)
    if current is None or record.name.partition(".")[0] == "asyncdq":
        return {}
    task = current()
    return {"task": task.name, "task_id": task.id}


def configure(level: str, format: Literal["text", "json"]) -> None:
    """Send all log lines of this process, those of the tasks included, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)

"""Every error that asyncdq raises, in one tree. A message says what to do next.

AsyncdqError
├── ConfigurationError        an option, URL, DSN or name is wrong
│   └── MissingExtra          a package is not installed; names the extra that brings it
├── TaskError                 a task's definition, or a call of it
│   ├── InvalidTask           this function cannot be a task of that kind
│   ├── DuplicateTask         two functions claim one task name
│   └── InvalidCall           arguments that do not fit, an option out of range (also a TypeError)
├── SerializationError        an argument cannot be written, or a body cannot be read
│   ├── UnserializableArgument  the serializer does not know this type
│   ├── BodyTooLarge          over the limit of the driver
│   └── UndecodableBody       not an envelope, or its arguments cannot be read
├── ExecutionError            the worker could not run a task to its end
│   ├── UnknownTask           no task of this name is registered here
│   ├── NewerEnvelope         written by a newer asyncdq
│   ├── TaskTimeout           ended by its own timeout (also a TimeoutError)
│   └── ProcessDied           the child process that ran it is gone
└── DriverError               the backend said no
    └── ConnectionLost        the outcome is unknown; trying again makes sense
        └── Blocked           the backend is there, but something holds up this call
"""

from __future__ import annotations

from collections.abc import Sequence

from .message import Delivery, Message


class AsyncdqError(Exception):
    """The root: `except AsyncdqError` catches everything that is ours."""


class ConfigurationError(AsyncdqError):
    """An option, URL, DSN or name is wrong; the message says what is accepted."""


class MissingExtra(ConfigurationError):
    """A package that this choice needs is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs a package that is not installed: pip install 'asyncdq[{extra}]'")


class TaskError(AsyncdqError):
    """A task's definition, or a call of it, is wrong."""


class InvalidTask(TaskError):
    """This function cannot be a task of that kind; the message says which change makes it one."""


class DuplicateTask(TaskError):
    """Two functions claim one task name: give one of them another `name=`."""


class InvalidCall(TaskError, TypeError):
    """The arguments do not fit the task's signature, or an option is out of range."""


class SerializationError(AsyncdqError):
    """An argument cannot be written, or a body cannot be read."""


class UnserializableArgument(SerializationError):
    """The serializer does not know this type: pass plain data, or use a serializer that knows it."""


class BodyTooLarge(SerializationError):
    """The body is over the driver's limit: store the data elsewhere and enqueue its key."""


class UndecodableBody(SerializationError):
    """The body is not an envelope, or its arguments cannot be read: it is buried at once."""


class ExecutionError(AsyncdqError):
    """The worker could not run a task to its end."""


class UnknownTask(ExecutionError):
    """No task of this name is registered here: pass its module to the worker. Counts as a failed attempt."""


class NewerEnvelope(ExecutionError):
    """The body was written by a newer asyncdq: upgrade this worker. Counts as a failed attempt."""


class TaskTimeout(ExecutionError, TimeoutError):
    """The task ran longer than its `timeout` and was ended."""


class ProcessDied(ExecutionError):
    """The child process that ran the task is gone: it exited, crashed or was killed."""


class DriverError(AsyncdqError):
    """The backend refused. `stored` names the messages of an enqueue that were stored all the same."""

    def __init__(self, message: str, *, stored: Sequence[Message] = ()) -> None:
        super().__init__(message)
        self.stored = tuple(stored)


class ConnectionLost(DriverError):
    """The backend did not answer: the call may have had its effect or not, and may be repeated."""


class Blocked(ConnectionLost):
    """The backend is there, but something holds up this call, as a row that somebody keeps locked.

    Of an `extend`, `held` are the deliveries whose leases are ours and stay as they were, `lost` those that were no
    longer ours; all others are extended.
    """

    def __init__(self, message: str, *, held: Sequence[Delivery] = (), lost: Sequence[Delivery] = ()) -> None:
        super().__init__(message)
        self.held, self.lost = tuple(held), tuple(lost)

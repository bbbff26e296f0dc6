"""The one place where errors of the client library become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import aiormq
from aio_pika import exceptions as pika

from ..errors import AsyncdqError, ConfigurationError, ConnectionLost, DriverError
from .rabbitmq_address import Address

Refused = pika.ChannelClosed
"""The server closed the channel because it did not like a request on it."""

Missing = pika.ChannelNotFoundEntity
Locked = aiormq.exceptions.ChannelLockedResource
Unroutable = pika.PublishError

Failed = aiormq.exceptions.ConnectionInternalError
"""The server has met an error of its own, and closed the connection."""

Unwelcome = (pika.AuthenticationError, pika.ProbableAuthenticationError)
"""The user or the password is refused."""

BROKEN = (pika.AMQPError, ConnectionError, OSError, RuntimeError, StopAsyncIteration)
"""What a connection that breaks raises, to whoever waits on it."""

CLOSED = "Connection.Close"
"""In the error of a connection that the server closes while it is opened; why is not there."""


@contextmanager
def explained(address: Address) -> Generator[None]:
    """Errors of the client library are ours where this is over."""
    try:
        yield
    except AsyncdqError:
        raise
    except TimeoutError as error:
        raise ConnectionLost(f"the RabbitMQ at {address} did not answer in time") from error
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and is_ours():
            raise
        # The library says `Exception` and no more to who waits for an answer while it closes.
        if type(error) is not Exception and not isinstance(error, (*BROKEN, asyncio.CancelledError)):
            raise
        raise explain(error, address) from error


def explain(error: BaseException, address: Address) -> AsyncdqError:
    """What an error of the client library means to the core."""
    text = str(error)
    if isinstance(error, Unwelcome):
        return ConfigurationError(f"the RabbitMQ at {address} refuses this user and password")
    if CLOSED in text or "NOT_ALLOWED" in text:
        return ConfigurationError(f"the RabbitMQ at {address} does not let this user into this virtual host")
    if isinstance(error, Unroutable):
        return DriverError("RabbitMQ has no queue for this message any more, and did not store it: enqueue it again")
    if isinstance(error, pika.DeliveryError):
        return ConnectionLost(f"the RabbitMQ at {address} could not store this now")
    if isinstance(error, aiormq.exceptions.ChannelAccessRefused):
        return ConfigurationError(f"the RabbitMQ at {address} refuses: {text}")
    if isinstance(error, pika.ChannelPreconditionFailed) and "inequivalent" in text:
        return ConfigurationError(f"the RabbitMQ at {address} has this name already, made otherwise: {text}")
    if isinstance(error, Missing):
        return ConnectionLost(f"a queue was deleted at the RabbitMQ at {address} while it was in use: {text}")
    if isinstance(error, Refused) and error.args[:1] != (None,):  # that is one which we have closed
        return DriverError(f"the RabbitMQ at {address} refuses: {text}")
    if isinstance(error, Failed):
        return ConnectionLost(f"the RabbitMQ at {address} failed, as its log says, and ended the connection: {text}")
    return ConnectionLost(f"the connection to the RabbitMQ at {address} is lost: {text or type(error).__name__}")


def is_ours() -> bool:
    """Whether this cancellation was asked for by someone; the library cancels who waits on what it closes."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

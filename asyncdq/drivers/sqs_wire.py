"""A client of SQS as we use it, and single calls through it: each has a timeout, and errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol, cast

from ..errors import ConfigurationError, ConnectionLost, MissingExtra
from .sqs_address import Address
from .sqs_errors import failure

Answer = Mapping[str, Any]

CONNECTIONS = 500
"""At most: ten for each kind of call, and one for each queue that is waited on; behind long polls no call may queue."""

_loaders: dict[str, Any] = {}
"""Of botocore, by the folders where it looks; they hold no credentials."""


class Client(Protocol):
    """What we call of an aiobotocore client for SQS, whatever made it."""

    async def get_queue_url(self, **asked: Any) -> Answer: ...
    async def create_queue(self, **asked: Any) -> Answer: ...
    async def list_queues(self, **asked: Any) -> Answer: ...
    async def get_queue_attributes(self, **asked: Any) -> Answer: ...
    async def send_message_batch(self, **asked: Any) -> Answer: ...
    async def receive_message(self, **asked: Any) -> Answer: ...
    async def delete_message_batch(self, **asked: Any) -> Answer: ...
    async def change_message_visibility_batch(self, **asked: Any) -> Answer: ...


class Wire:
    """One client. `given` is a client or a session of the user; ours are closed by `close`."""

    def __init__(self, address: Address, client: Client | None, session: object) -> None:
        self._address = address
        self._client = client
        self._session = session
        self._opened = AsyncExitStack()

    async def open(self) -> None:
        """Make the client. Raises `MissingExtra`, or `ConfigurationError` for what botocore does not take."""
        if self._client is not None:
            return
        try:
            self._client = await self._opened.enter_async_context(self._made())
        except MissingExtra:
            raise
        except Exception as error:
            raise failure(error, "the options", str(self._address)) from error

    async def greet(self) -> None:
        """See that SQS answers. Raises `ConnectionLost`, or `ConfigurationError` if it does not know us."""
        try:
            await self.call("list_queues", MaxResults=1)
        except ConfigurationError as error:
            if "AccessDenied" not in str(error):  # it knows us, and others than us may list queues
                raise

    async def close(self) -> None:
        """Close the client if it is ours."""
        await self._opened.aclose()

    async def call(self, operation: str, longer: float = 0.0, **asked: Any) -> Answer:
        """The answer of SQS, within the timeout and `longer` seconds. Raises `ConnectionLost` and others of ours."""
        try:
            async with asyncio.timeout(self._address.timeout + longer):
                return cast("Answer", await getattr(self._client, operation)(**asked))
        except TimeoutError as error:
            raise ConnectionLost(f"{self._address} does not answer {operation}") from error
        except Exception as error:
            raise failure(error, operation, str(self._address)) from error

    def _made(self) -> Any:
        try:
            # Imported here: that takes 0.3 s, which a process that never connects need not spend.
            from aiobotocore.config import AioConfig
            from aiobotocore.session import get_session
        except ImportError as error:
            raise MissingExtra("the sqs driver", "sqs") from error
        address = self._address
        config = AioConfig(
            connect_timeout=address.timeout,
            read_timeout=address.timeout + address.poll,
            # What is worth it is repeated per entry, see sqs_batches.py; a receive repeated blindly hides messages.
            retries={"total_max_attempts": 1},
            max_pool_connections=CONNECTIONS,
        )
        session: Any = self._session or _lightened(get_session())
        make = getattr(session, "create_client", None) or session.client
        return make(
            "sqs",
            region_name=address.region,
            endpoint_url=address.endpoint_url,
            aws_access_key_id=address.aws_access_key_id,
            aws_secret_access_key=address.aws_secret_access_key,
            config=config,
        )


def _lightened(session: Any) -> Any:
    """A new session that reads the descriptions of AWS's services from where an earlier one has: saves 0.1 s."""
    folders = str(session.get_config_variable("data_path"))
    session.register_component("data_loader", _loaders.setdefault(folders, session.get_component("data_loader")))
    return session

"""Our queues and theirs: a queue's name in SQS, its URL, and its making when it is needed for the first time.

    emails -> asyncdq-emails, and asyncdq-emails-dead for its dead letters

With `queue_url_prefix` the URL is that prefix and the name, and nothing is looked up or created.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import ConnectionLost
from .sqs_address import Address
from .sqs_errors import Gone, Refused
from .sqs_wire import Answer, Wire

DEAD = "-dead"

RETENTION = "1209600"
"""Seconds, 14 days: the longest that SQS keeps a message that nobody takes. The default of 4 days loses weekends."""

PAUSES = (0.0, 0.3, 0.7, 1.0)
"""Seconds before a queue is asked again that is not there: AWS asks for a second between its making and its use."""


class Queues:
    """The URLs that are known, and the calls that need one."""

    def __init__(self, wire: Wire, address: Address) -> None:
        self._wire = wire
        self._address = address
        self._urls: dict[str, str] = {}
        self._making = asyncio.Lock()

    async def call(self, operation: str, name: str, longer: float = 0.0, **asked: Any) -> Answer:
        """Call for this queue, which is made if it is not there. Raises `DriverError`."""
        for pause in (*PAUSES, None):
            try:
                return await self._wire.call(operation, longer, QueueUrl=await self._url(name), **asked)
            except Gone as error:
                # Somebody deleted it, or it was made so recently that not all of AWS knows it.
                self._urls.pop(name, None)
                if self._address.queue_url_prefix:
                    missing = f"the queue {self._full(name)} does not exist, and with queue_url_prefix none is made"
                    raise Gone(missing) from error
                if pause is None:
                    raise ConnectionLost(f"the queue {name} was made and is not there yet: {error}") from error
                await asyncio.sleep(pause)
        raise AssertionError("the last pause is none")

    async def attributes(self, name: str, *wanted: str) -> dict[str, str]:
        """Attributes of this queue; none if it does not exist, which creates nothing."""
        try:
            url = self._urls.get(name) or await self._found(name)
            answer = await self._wire.call("get_queue_attributes", QueueUrl=url, AttributeNames=list(wanted))
        except Gone:
            self._urls.pop(name, None)
            return {}
        attributes: dict[str, str] = answer.get("Attributes", {})
        return attributes

    async def names(self) -> list[str]:
        """The names of all our queues, those of dead letters included."""
        begin = self._full("")
        names: list[str] = []
        asked: dict[str, Any] = {"QueueNamePrefix": begin} if begin else {}
        while True:
            answer = await self._wire.call("list_queues", MaxResults=1000, **asked)
            names += [url.rpartition("/")[2].removeprefix(begin) for url in answer.get("QueueUrls", [])]
            if not (token := answer.get("NextToken")):
                return [name for name in names if not name.endswith(".fifo")]
            asked["NextToken"] = token

    async def _url(self, name: str) -> str:
        if url := self._urls.get(name):
            return url
        try:
            return await self._found(name)
        except Gone:
            if self._address.queue_url_prefix:
                raise
        async with self._making:
            if name not in self._urls:
                attributes = {"MessageRetentionPeriod": RETENTION}
                answer = await self._wire.call("create_queue", QueueName=self._full(name), Attributes=attributes)
                self._urls[name] = answer["QueueUrl"]
        return self._urls[name]

    async def _found(self, name: str) -> str:
        """The URL of a queue that exists. Raises `Gone`."""
        if prefix := self._address.queue_url_prefix:
            self._urls[name] = prefix + name
        else:
            answer = await self._wire.call("get_queue_url", QueueName=self._full(name))
            self._urls[name] = answer["QueueUrl"]
        return self._urls[name]

    def _full(self, name: str) -> str:
        prefix = self._address.queue_url_prefix
        return (self._address.prefix if prefix is None else prefix.rpartition("/")[2]) + name


def checked(queue: str) -> str:
    """The name itself. Raises `ConfigurationError` for one that cannot be used here."""
    if queue.endswith(".fifo"):
        raise Refused(
            "FIFO queues are not supported: they know no delay per message, and drop what is sent again within"
            " 5 minutes; use a standard queue"
        )
    if queue.endswith(DEAD):
        raise Refused(f"on SQS no queue's name ends in {DEAD}: that is the one of its dead letters")
    return queue

"""Who may ask an SQL server now: a few at once, and the others in their order."""

from __future__ import annotations

import asyncio

from ..errors import ConnectionLost


class Gate:
    """Lets `most` through at once, in the order in which they come. Raises ConnectionLost after `timeout` seconds."""

    def __init__(self, most: int, where: str, timeout: float) -> None:
        self._places = asyncio.Semaphore(most)
        self._where = where
        self._timeout = timeout

    async def __aenter__(self) -> None:
        if not self._places.locked():  # a timeout that is not needed takes longer than all the rest
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
        except TimeoutError:
            raise ConnectionLost(f"all connections to {self._where} are busy") from None

    async def __aexit__(self, *_: object) -> None:
        self._places.release()

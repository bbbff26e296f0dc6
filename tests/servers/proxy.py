"""A network that can be broken: between clients and a server, in the event loop of the test.

async with Proxy(server.url) as proxy:
    ...  # proxy.url
    lost = proxy.lose_reply_to("the id")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_ON_THE_WAY = 32
"""Chunks in one direction: then who sends has to wait."""


class Proxy:
    """Passes bytes in both directions, each chunk `delay` seconds late, until it is told to break something."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._serving: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._stalled: set[asyncio.StreamWriter] = set()
        self._word = b""
        self._lost = asyncio.Event()
        self._passes = asyncio.Event()
        self._passes.set()
        self.delay = 0.0
        self.asked = 0
        """Chunks that clients have sent: of one that waits for each answer, its questions."""
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        secret, separator, _ = self._target.netloc.rpartition("@")
        self.url = self._target._replace(netloc=f"{secret}{separator}127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.heal()
        await asyncio.sleep(0)  # what was accepted last begins to be served
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were aborted close their sockets now, not when the loop is gone

    def lose_reply_to(self, word: str) -> asyncio.Event:
        """The next request with this word in it is done, and its reply never comes: its connection breaks.

        Returns what is set when that has happened.
        """
        self._word, self._lost = word.encode(), asyncio.Event()
        return self._lost

    def reset(self) -> None:
        """All connections break; new ones may be opened."""
        for writer in self._open:
            writer.transport.abort()

    def forget(self) -> None:
        """Connections that are open now carry nothing any more, and stay open, as at a router; new ones are served."""
        self._forgotten |= self._open

    def stall(self) -> None:
        """Connections that are open now are read no more, as those of a frozen server; new ones are served."""
        self._stalled |= self._open

    def blackhole(self) -> None:
        """What was sent and will be sent goes nowhere; connections stay open, and those opened now are not answered."""
        self._passes.clear()

    def heal(self) -> None:
        """New connections are served; those that were open break."""
        self.reset()
        self._passes.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving
        self._serving.add(serving)
        try:
            with suppress(OSError, asyncio.CancelledError):  # asyncio's streams complain of one that ends cancelled
                await self._connect((reader, writer))
        finally:
            writer.transport.abort()
            self._serving.discard(serving)

    async def _connect(self, client: Pipe) -> None:
        server = await asyncio.open_connection(self._target.hostname, self._target.port)
        doomed = asyncio.Event()
        ends = {client[1], server[1]}
        self._open |= ends
        try:
            await asyncio.gather(
                self._pass((client[0], server[1]), lambda chunk: self._mark(chunk, doomed)),
                self._pass((server[0], client[1]), lambda _: self._drop(doomed)),
            )
        finally:
            self._open -= ends
            self._forgotten -= ends
            self._stalled -= ends
            server[1].transport.abort()

    async def _pass(self, pipe: Pipe, look: Callable[[bytes], None]) -> None:
        """Raises ConnectionError at the end of the stream, so that the other direction ends with it."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_ON_THE_WAY)
        receiving = asyncio.create_task(self._receive(pipe, chunks))
        try:
            await self._deliver(pipe[1], chunks, look)
        finally:
            receiving.cancel()
            await asyncio.wait([receiving])

    async def _receive(self, pipe: Pipe, chunks: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Each chunk, and when it has to arrive; b"" is the end."""
        chunk = b"?"
        while chunk:
            try:
                chunk = await pipe[0].read(2**16)
            except OSError:
                chunk = b""
            if pipe[1] in self._stalled:
                await asyncio.Event().wait()
            await chunks.put((asyncio.get_running_loop().time() + self.delay, chunk))

    async def _deliver(
        self, writer: asyncio.StreamWriter, chunks: asyncio.Queue[tuple[float, bytes]], look: Callable[[bytes], None]
    ) -> None:
        while True:
            due, chunk = await chunks.get()
            if not chunk:
                raise ConnectionResetError("the stream has ended")
            await asyncio.sleep(due - asyncio.get_running_loop().time())  # what is asked of this network
            await self._passes.wait()
            if writer in self._forgotten:
                continue
            look(chunk)
            writer.write(chunk)
            await writer.drain()

    def _mark(self, chunk: bytes, doomed: asyncio.Event) -> None:
        self.asked += 1
        if self._word and self._word in chunk:
            self._word = b""
            doomed.set()

    def _drop(self, doomed: asyncio.Event) -> None:
        if doomed.is_set():
            self._lost.set()
            raise ConnectionResetError("the reply is lost")

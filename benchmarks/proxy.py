"""A slow network as a process: python -m benchmarks.proxy URL DELAY. The first line of its output is its port."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

from tests.servers.proxy import Proxy


async def main(url: str, delay: float) -> None:
    """Until it is ended."""
    async with Proxy(url) as proxy:
        proxy.delay = delay
        print(urlsplit(proxy.url).port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))

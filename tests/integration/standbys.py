"""PostgreSQL servers that take no writes for a while, and URLs with several hosts."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import asyncpg


async def make_read_only(url: str, wanted: bool = True) -> None:
    """From now on the server takes no writes, as a standby, and tells so whoever connects; or takes them again."""
    word = "on" if wanted else "off"
    admin = await asyncpg.connect(url)
    await admin.execute(f"alter system set default_transaction_read_only = {word}")
    await admin.execute("select pg_reload_conf()")
    while True:  # until this session is told so, and with it all others
        if await admin.fetchval("show default_transaction_read_only") == word:
            break
        await asyncio.sleep(0.01)  # between two tries
    await admin.close()


def several(*urls: str) -> str:
    """One URL with the hosts of all, and the rest of the first."""
    first = urlsplit(urls[0])
    places = ",".join(urlsplit(url).netloc.rpartition("@")[2] for url in urls)
    return first._replace(netloc=f"{first.netloc.rpartition('@')[0]}@{places}").geturl()

"""PostgreSQL: one table; the server skips what others have locked."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from ..contend import URL, Producer
from ..tally import note

PACKAGES = ()
DRIVERS = ("postgres",)
VERSIONS = {"postgres": ["asyncpg"]}
WORKER = ["{python}", "-m", "benchmarks.floors.postgres", "{concurrency}"]
SETTINGS = "asyncpg; claims and completions do not wait for the disk, as asyncdq's do not"
CRASH = "stay leased"

CREATE = """
create table if not exists floor (
    id bigserial primary key, body text not null, visible_at timestamptz not null default now(), token int8
)
"""

CLAIM = """
update floor set visible_at = now() + interval '60 s', token = $2
where id = any(array(
    select id from floor where visible_at <= now() order by id limit $1 for no key update skip locked
))
returning id, body
"""

DONE = "delete from floor where id = any($1::int8[]) and token = $2"


@asynccontextmanager
async def producer() -> AsyncGenerator[Producer]:
    """An insert, committed to the disk."""
    insert = "insert into floor (body) values ($1)"
    own = await asyncpg.connect(os.environ[URL])
    await own.execute(CREATE)
    async with asyncpg.create_pool(os.environ[URL], min_size=10, max_size=10) as pool:

        async def one(name: str, *args: Any) -> None:
            await own.execute(insert, json.dumps(args))

        async def crowded(name: str, *args: Any) -> None:
            await pool.execute(insert, json.dumps(args))

        async def many(name: str, calls: list[tuple[Any, ...]]) -> None:
            bodies = [json.dumps(args) for args in calls]
            await own.execute("insert into floor (body) select unnest($1::text[])", bodies)

        yield Producer(one, many, crowded)
    await own.close()


async def work(concurrency: int) -> None:
    """Claims, runs nothing, completes."""
    connection = await asyncpg.connect(os.environ[URL], server_settings={"synchronous_commit": "off"})
    for token in range(10**9):
        claimed = await connection.fetch(CLAIM, concurrency, token)
        for _, body in claimed:
            note(*json.loads(body))
        if claimed:
            await connection.execute(DONE, [id for id, _ in claimed], token)
        else:
            await asyncio.sleep(0.001)  # it has nothing to wait for


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))

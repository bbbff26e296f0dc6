"""MySQL and MariaDB: one table; the server skips what others have locked."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiomysql

from ..contend import URL, Producer
from ..tally import note

PACKAGES = ()
DRIVERS = ("mysql",)
VERSIONS = {"mysql": ["aiomysql", "pymysql"]}
WORKER = ["{python}", "-m", "benchmarks.floors.mysql", "{concurrency}"]
SETTINGS = "aiomysql; a transaction per claim, which also deletes what is done"
CRASH = "stay leased"

CREATE = """
create table if not exists floor (
    id bigint primary key auto_increment, body text not null,
    visible_at datetime(3) not null default now(3), token bigint,
    key visible (visible_at, id)
) engine=innodb
"""

CLAIM = "select id, body from floor where visible_at <= now(3) order by visible_at, id limit %s for update skip locked"


def address() -> dict[str, Any]:
    """What aiomysql wants to be told."""
    at = urlsplit(os.environ[URL])
    return {"host": at.hostname, "port": at.port, "user": at.username, "password": at.password, "db": at.path[1:]}


@asynccontextmanager
async def producer() -> AsyncGenerator[Producer]:
    """An insert, committed to the disk."""
    async with aiomysql.create_pool(**address(), minsize=10, maxsize=10, autocommit=True) as pool:

        async def many(name: str, calls: list[tuple[Any, ...]]) -> None:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.executemany("insert into floor (body) values (%s)", [json.dumps(args) for args in calls])

        async def one(name: str, *args: Any) -> None:
            await many(name, [args])

        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(CREATE)
        yield Producer(one, many)


async def work(concurrency: int) -> None:
    """Claims, runs nothing, completes."""
    ids = ""
    async with aiomysql.connect(**address()) as connection, connection.cursor() as cursor:
        await cursor.execute("set session transaction isolation level read committed")
        for token in range(10**9):
            if ids:
                await cursor.execute(f"delete from floor where id in ({ids}) and token = {token - 1}")
            await cursor.execute(CLAIM, (concurrency,))
            claimed = await cursor.fetchall()
            ids = ",".join(f"{id}" for id, _ in claimed)
            if ids:
                lease = "update floor set visible_at = now(3) + interval 60 second"
                await cursor.execute(f"{lease}, token = {token} where id in ({ids})")
            await connection.commit()
            for _, body in claimed:
                note(*json.loads(body))
            if not ids:
                await asyncio.sleep(0.001)  # it has nothing to wait for


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))

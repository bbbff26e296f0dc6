"""Many events are not written for nobody; and whoever may listen, wherever that is, hears them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from asyncdq.events import CHANNEL, Hub, RedisEmitter, WorkerHeartbeat
from asyncdq.events.outlet import BATCH
from asyncdq.events.redis import UNASKED
from tests.servers import Server, private

from .workers import SOON, until


@pytest.fixture
def server() -> Iterator[Server]:
    with private("redis") as server:
        yield server


@pytest.fixture
def replica(server: Server) -> Iterator[Server]:
    with private("redis") as second:
        place = urlsplit(server.url)
        with Redis.from_url(second.url) as told, Redis.from_url(server.url) as primary:
            told.replicaof(place.hostname, place.port)
            while not primary.wait(1, 1_000):  # seconds pass in there
                pass
        yield second


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RedisEmitter]:
    """One that has told its first event."""
    emitter = RedisEmitter(url)
    assert await emitter.is_heard()  # what is wrong with the server is found by telling it
    await emitter.emit([WorkerHeartbeat(id="first")])
    yield emitter
    await emitter.close()


async def many(url: str) -> int:
    """Events, of which none was lost."""
    hub, count = Hub([RedisEmitter(url)], "w"), 4 * BATCH
    for number in range(count):
        hub.emit(WorkerHeartbeat(id=str(number)))
    await hub.close()
    assert hub.dropped == 0
    return count


def published(server: Server) -> int:
    with Redis.from_url(server.url) as redis:
        counts: dict[str, Any] = redis.info("commandstats")
    return int(counts.get("cmdstat_publish", {"calls": 0})["calls"])


@asynccontextmanager
async def listening(url: str, *, pattern: bool = False) -> AsyncIterator[Any]:
    async with AsyncRedis.from_url(url) as redis, redis.pubsub() as subscription:
        await (subscription.psubscribe("asyncdq:*") if pattern else subscription.subscribe(CHANNEL))
        assert await subscription.get_message(timeout=SOON)  # it stands
        yield subscription


async def heard(subscription: Any) -> str:
    told = await subscription.get_message(ignore_subscribe_messages=True, timeout=SOON)
    return str(told["data"].decode())


async def test_many_events_are_written_only_if_somebody_listens(server: Server) -> None:
    await many(server.url)
    assert published(server) == BATCH  # the first flush, and no more
    async with listening(server.url) as subscription:
        for number in range(await many(server.url)):
            assert f'"id":"{number}"' in await heard(subscription)
    assert published(server) == 5 * BATCH


async def test_an_open_connection_notices_who_comes_and_who_goes(server: Server) -> None:
    async with connected(server.url) as emitter:
        assert not await emitter.is_heard()
        async with listening(server.url) as subscription:
            assert await emitter.is_heard()
            await emitter.emit([WorkerHeartbeat(id="1")])
            assert '"id":"1"' in await heard(subscription)
        with Redis.from_url(server.url) as redis:
            await until(lambda: redis.pubsub_numsub(CHANNEL)[0][1] == 0)  # the server has seen that it is gone
        for _ in range(UNASKED):
            assert await emitter.is_heard()
            await emitter.emit([WorkerHeartbeat()])
        assert not await emitter.is_heard()


async def test_who_listens_to_a_pattern_is_heard(server: Server) -> None:
    async with connected(server.url) as emitter, listening(server.url, pattern=True):
        assert await emitter.is_heard()


async def test_who_listens_at_a_replica_may_be_there_also_while_that_is_away(server: Server, replica: Server) -> None:
    async with connected(server.url) as emitter, listening(replica.url) as subscription:
        assert await emitter.is_heard()
        await emitter.emit([WorkerHeartbeat(id="1")])
        assert '"id":"1"' in await heard(subscription)
    with Redis.from_url(replica.url) as told, Redis.from_url(server.url) as primary:
        told.replicaof("no", "one")
        await until(lambda: primary.info("replication")["connected_slaves"] == 0)
    async with connected(server.url) as emitter:
        assert await emitter.is_heard()


@pytest.mark.parametrize("more", [[], ["+pubsub"], ["+info"]], ids=["neither", "pubsub", "info"])
async def test_for_a_user_that_may_not_ask_somebody_listens(server: Server, more: list[str]) -> None:
    with Redis.from_url(server.url) as redis:
        redis.execute_command("ACL", "SETUSER", "teller", "on", ">pw", "&*", "+@connection", "+eval", "+publish", *more)
    async with connected(server.url.replace("redis://", "redis://teller:pw@")) as emitter:
        assert await emitter.is_heard()


async def test_the_user_of_the_documentation_may_ask(server: Server) -> None:
    with Redis.from_url(server.url) as redis:
        rights = ("&asyncdq:*", "+@scripting", "+@pubsub", "+@connection", "+info")
        redis.execute_command("ACL", "SETUSER", "app", "on", ">pw", *rights)
    async with connected(server.url.replace("redis://", "redis://app:pw@")) as emitter:
        assert not await emitter.is_heard()

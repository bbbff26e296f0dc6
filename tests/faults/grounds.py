"""The drivers, one entry each, and what each of them lacks, with the reason that the table gives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import KINDS, Server, private


@dataclass(frozen=True, slots=True)
class Ground:
    """One driver.

    lacks    what scenarios may need and it does not have:
             server   a process that can be killed and frozen
             durable  it keeps over kill -9 what it has confirmed
             network  its URL may lead through a proxy
             keys     an id that waits or runs is stored once
             named    the proxy can tell the request that completes a task, or gives it back
             receipt  another process could use the receipt of a claim
             leases   what a process held stays hidden for a while when it ends
             clock    its time is not that of its clients
             root     somebody who may mount a small file system
             tables   it keeps tasks in tables or keys, in which there may be very many of them
             password its server asks who comes in
             maxmemory  how much memory it takes for tasks can be limited
             native   its data lie on a disk of this machine
    another  what to add to the URL of a store for another one in the same place, with NAME in it
    completes, releases  words in such requests; by default the id of the task stands in them
    takeover seconds beyond the lease in which what a dead or frozen worker held is taken over
    forgets  seconds before a crash of the server whose completions it may forget: see docs/guarantees.md
    unheard  seconds before a connection ends whose completions the server may not have heard: it confirms none
    halts    a word in the server's log where a part of it has ended for good: it has to be started again
    sent     completions on their way, whose slots are free, of tasks that take longer than a round trip: as many may be
             undone where a connection breaks
    share    of the tasks of a scenario, for what is too slow for all of them
    longest  messages that it hands out as fast as a few
    slack    seconds that it may take longer than others to hand out what was given back
    pool     connections that a busier worker may have more than before
    """

    driver: str
    lacks: Mapping[str, str] = field(default_factory=dict)
    takeover: float = 5.0
    slack: float = 0.0
    pool: int = 5
    share: float = 1.0
    longest: int = 10**9
    another: str = ""
    completes: str = ""
    releases: str = ""
    forgets: float = 0.0
    unheard: float = 0.0
    halts: str = ""
    sent: int = 0

    @contextmanager
    def server(self) -> Iterator[Server | None]:
        """A private server, running; None for a driver that has none."""
        if self.driver not in KINDS:
            yield None
            return
        with private(self.driver) as server:
            yield server

    def store(self, server: Server | None, folder: Path) -> str:
        """The URL of a store that is new and empty."""
        return f"sqlite://{folder}/queue.db" if server is None else KINDS[self.driver].fresh(server.url)

    def beside(self, url: str, name: str) -> str:
        """The URL of a store of this name in the same place."""
        if self.driver == "sqlite":
            return f"{url}.{name}"
        return f"{url}{'&' if '?' in url else '?'}{self.another.replace('NAME', name)}"

    def guest(self, url: str, password: str, *written: str) -> list[str]:
        """URLs for somebody who has to come with this password, and comes with what is `written` in each."""
        parts, user = urlsplit(url), KINDS[self.driver].guest(url, password)
        place = parts.netloc.rpartition("@")[2]
        return [parts._replace(netloc=f"{user}:{each}@{place}").geturl() for each in written]


FILE = "there is no server: a file"

OF_A_SERVER = ("server", "durable", "network", "named", "clock", "password", "maxmemory")

TABLES = "queue_table=NAME&dead_letter_table=NAME_letters"

WITHOUT = {} if os.geteuid() == 0 else {"root": "only root may mount a small file system"}


def _served(driver: str) -> Mapping[str, str]:
    """What a server lacks because of what it is, and of who and where we are."""
    lacks = dict(WITHOUT)
    if driver != "redis":
        lacks["maxmemory"] = "it keeps tasks on a disk"
    if KINDS[driver].program() is None:
        lacks["native"] = "the disk is that of the machine with the containers"
    return lacks


GROUNDS = {
    ground.driver: ground
    for ground in (
        Ground("sqlite", {**dict.fromkeys(OF_A_SERVER, FILE), **WITHOUT}),
        Ground("redis", _served("redis"), another="prefix=NAME"),
        Ground("postgres", _served("postgres"), forgets=1.0, another=TABLES),
        Ground("mysql", _served("mysql"), completes="delete", releases="set visible_at", another=TABLES),
        Ground(
            "rabbitmq",
            {
                **_served("rabbitmq"),
                "keys": "RabbitMQ has no keys",
                "tables": "a broker hands out the head of a queue, however long that is",
                "named": "an acknowledgement names no task",
                "receipt": "a receipt belongs to its channel",
                "leases": "what a connection held comes back when it closes",
                "clock": "leases are connections, not times",
            },
            takeover=10.0,
            unheard=1.0,
            sent=16,
            halts="enospc",
        ),
        Ground(
            "sqs",
            {
                **WITHOUT,
                "native": "the emulator keeps everything in memory",
                "maxmemory": "the emulator knows no limit",
                "durable": "the emulator forgets at kill -9",
                "network": "the proxy does not follow the endpoint in the URL",
                "named": "the proxy does not follow the endpoint in the URL",
                "keys": "standard queues have no keys",
                "tables": "what AWS does with a long queue is not the emulator's to show",
                "password": "keys sign what is asked, and the emulator does not look at them",
            },
            takeover=10.0,
            pool=40,  # ten each of four kinds of call
            longest=2_500,  # 12,500 took 50 s, 2,500 take 2: each receive is slower with all that is there
            share=0.25,  # the emulator does some hundred tasks in a second, where the others do thousands
        ),
    )
}

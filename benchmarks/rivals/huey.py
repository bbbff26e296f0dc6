"""huey: Redis, PostgreSQL and SQLite."""

import os
from contextlib import contextmanager

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["huey", "redis[hiredis]", "psycopg[binary]"]
DRIVERS = ("redis", "postgres", "sqlite")
VERSIONS = {
    "redis": ["huey", "redis", "hiredis"],
    "postgres": ["huey", "psycopg", "psycopg-binary"],
    "sqlite": ["huey", "sqlite3"],
}
WORKER = [
    "{bin}/huey_consumer",
    "benchmarks.rivals.huey.huey",
    "--workers={concurrency}",
    "--worker-type=thread",
    "--delay=0.005",
    "--max-delay=0.1",
    "--no-periodic",
    "--quiet",
]
CPU = [*WORKER, "--worker-type=process"]
MOST = 100
SETTINGS = {
    "redis": "threads, results off, no periodic tasks",
    "postgres": "threads, results off, no periodic tasks; it polls at 5 to 100 ms if it cannot block (100 ms to 10 s)",
    "sqlite": "threads, results off, no periodic tasks, synchronous=normal; it polls at 5 to 100 ms (100 ms to 10 s)",
}
CRASH = "lost: it is deleted when it is handed out"


def made():
    url = os.environ[URL]
    match os.environ["BENCH_DRIVER"]:
        case "redis":
            from huey import RedisHuey

            return RedisHuey("bench", results=False, url=url)
        case "postgres":
            from huey import PostgresHuey

            return PostgresHuey("bench", results=False, dsn=url)
        case _:
            from huey import SqliteHuey
            from huey.storage import SqliteStorage

            class Normal(SqliteStorage):
                """Its `fsync` is synchronous=full or off, and not given it is full: the others have normal."""

                def _create_connection(self):
                    connection = super()._create_connection()
                    connection.execute("pragma synchronous = normal")
                    return connection

            return SqliteHuey("bench", results=False, storage_class=Normal, filename=url.removeprefix("sqlite://"))


huey = made()

TASKS = {
    "noop": huey.task(name="noop")(bodies.noop_sync),
    "stamp": huey.task(name="stamp")(bodies.stamp_sync),
    "io": huey.task(name="io")(bodies.io_sync),
    "cpu": huey.task(name="cpu")(bodies.cpu),
}


@contextmanager
def producer():
    yield Producer(lambda name, *args: TASKS[name](*args))

"""taskiq: streams of Redis, RabbitMQ by aio-pika."""

import os
from contextlib import asynccontextmanager

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["taskiq[uvloop]", "taskiq-redis", "taskiq-aio-pika", "redis[hiredis]", "uvloop"]
DRIVERS = ("redis", "rabbitmq")
VERSIONS = {
    "redis": ["taskiq", "taskiq-redis", "redis", "hiredis", "uvloop"],
    "rabbitmq": ["taskiq", "taskiq-aio-pika", "aio-pika", "uvloop"],
}
WORKER = [
    "{bin}/taskiq",
    "worker",
    "benchmarks.rivals.taskiq:broker",
    "--workers=1",
    "--max-async-tasks={concurrency}",
    "--max-prefetch=1000",
    "--no-parse",
    "--log-level=WARNING",
]
SETTINGS = {
    "redis": "RedisStreamBroker, no results, prefetch 1,000, --no-parse, uvloop, log level WARNING",
    "rabbitmq": "AioPikaBroker, qos 2,000, prefetch 1,000, no results, --no-parse, uvloop, log level WARNING",
}
CRASH = {"redis": "run again after idle_timeout, 10 minutes", "rabbitmq": "redelivered at once"}

if os.environ["BENCH_DRIVER"] == "redis":
    from taskiq_redis import RedisStreamBroker

    broker = RedisStreamBroker(os.environ[URL], consumer_id="0", max_connection_pool_size=200)
else:
    from taskiq_aio_pika import AioPikaBroker

    broker = AioPikaBroker(os.environ[URL], qos=2000)

TASKS = {
    "noop": broker.task(task_name="noop")(bodies.noop),
    "stamp": broker.task(task_name="stamp")(bodies.stamp),
    "io": broker.task(task_name="io")(bodies.io),
    "cpu": broker.task(task_name="cpu")(bodies.cpu_async),
}


@asynccontextmanager
async def producer():
    await broker.startup()
    yield Producer(lambda name, *args: TASKS[name].kiq(*args))
    await broker.shutdown()

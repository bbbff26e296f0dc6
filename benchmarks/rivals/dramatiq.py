"""dramatiq: Redis and RabbitMQ."""

import os
from contextlib import contextmanager

import dramatiq

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["dramatiq[redis,rabbitmq]", "redis[hiredis]"]
DRIVERS = ("redis", "rabbitmq")
VERSIONS = {"redis": ["dramatiq", "redis", "hiredis"], "rabbitmq": ["dramatiq", "pika"]}
WORKER = [
    "env",
    "dramatiq_queue_prefetch=2000",
    "{bin}/dramatiq",
    "benchmarks.rivals.dramatiq",
    "--processes=1",
    "--threads={concurrency}",
]
CPU = ["{bin}/dramatiq", "benchmarks.rivals.dramatiq", "--processes=2", "--threads=1"]
SETTINGS = {
    "redis": "one process of as many threads as the concurrency, prefetch 2,000, hiredis; worker_timeout, which is how "
    "rarely an idle worker looks, 5 ms instead of 1,000",
    "rabbitmq": "one process of as many threads as the concurrency, prefetch 2,000; confirm_delivery; classic queues, "
    "it has no setting for others",
}
CRASH = {"redis": "run again when the worker's heartbeat is 60 s old", "rabbitmq": "redelivered at once"}

if os.environ["BENCH_DRIVER"] == "redis":
    from dramatiq.brokers.redis import RedisBroker

    class Broker(RedisBroker):
        """With a worker_timeout that the command line takes from the environment, for RabbitMQ too."""

        def consume(self, queue_name, prefetch=1, timeout=5000):
            return super().consume(queue_name, prefetch, 5)

    broker = Broker(url=os.environ[URL])
else:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    broker = RabbitmqBroker(url=os.environ[URL], confirm_delivery=True)
dramatiq.set_broker(broker)

TASKS = {
    "noop": dramatiq.actor(bodies.noop_sync, actor_name="noop"),
    "stamp": dramatiq.actor(bodies.stamp_sync, actor_name="stamp"),
    "io": dramatiq.actor(bodies.io_sync, actor_name="io"),
    "cpu": dramatiq.actor(bodies.cpu, actor_name="cpu"),
}


@contextmanager
def producer():
    yield Producer(lambda name, *args: TASKS[name].send(*args))
    broker.close()

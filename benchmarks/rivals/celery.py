"""Celery: Redis, RabbitMQ, and any database by SQLAlchemy."""

import os
from contextlib import contextmanager

from celery import Celery

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["celery[redis]", "redis[hiredis]", "sqlalchemy", "pymysql"]
DRIVERS = ("redis", "rabbitmq", "mysql")
VERSIONS = {
    "redis": ["celery", "redis", "hiredis"],
    "rabbitmq": ["celery", "amqp"],
    "mysql": ["celery", "sqlalchemy", "pymysql"],
}
WORKER = [
    "{bin}/celery",
    "--app=benchmarks.rivals.celery",
    "worker",
    "--pool=prefork",
    "--concurrency={concurrency}",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
    "--loglevel=WARNING",
]
MOST = 10
CPU = [*WORKER]
SETTINGS = {
    "redis": "prefork, results ignored, prefetch multiplier 16, without gossip, mingle, heartbeat",
    "rabbitmq": "prefork, results ignored, prefetch multiplier 16, without gossip, mingle, heartbeat; confirms",
    "mysql": "prefork, results ignored, prefetch multiplier 16, without gossip, mingle, heartbeat; polls every 5 ms "
    "instead of 1 s",
}
CRASH = "what had begun is lost: it acks early by default"


def broker():
    url = os.environ.get(URL, "redis://localhost")
    return url.replace("mysql://", "sqla+mysql+pymysql://") if url.startswith("mysql") else url


app = Celery("bench", broker=broker())
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=16, broker_connection_retry_on_startup=True)
if os.environ["BENCH_DRIVER"] == "rabbitmq":
    app.conf.update(task_default_queue_type="quorum", broker_transport_options={"confirm_publish": True})
elif os.environ["BENCH_DRIVER"] == "mysql":
    from kombu.transport.sqlalchemy import Transport

    Transport.polling_interval = 0.005  # as a transport option it would be handed on to create_engine, which refuses it

TASKS = {
    "noop": app.task(bodies.noop_sync, name="noop"),
    "stamp": app.task(bodies.stamp_sync, name="stamp"),
    "io": app.task(bodies.io_sync, name="io"),
    "cpu": app.task(bodies.cpu, name="cpu"),
}


@contextmanager
def producer():
    yield Producer(lambda name, *args: TASKS[name].delay(*args))
    app.close()

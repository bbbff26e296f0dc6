"""RQ."""

import os
from contextlib import contextmanager

from redis import Redis
from rq import Queue

from .. import bodies
from ..contend import URL, Producer

PACKAGES = ["rq", "redis[hiredis]"]
DRIVERS = ("redis",)
VERSIONS = {"redis": ["rq", "redis", "hiredis"]}
WORKER = [
    "{bin}/rq",
    "worker-pool",
    "--num-workers={concurrency}",
    "--worker-class=rq.worker.SimpleWorker",
    "--logging-level=WARNING",
    "--url={url}",
    "default",
]
MOST = 10
SETTINGS = "a pool of as many processes as the concurrency, SimpleWorker (no fork per job), result_ttl 0, WARNING"
CRASH = "end in the failed registry when the worker's heartbeat has ended"

TASKS = {"noop": bodies.noop_sync, "stamp": bodies.stamp_sync, "io": bodies.io_sync, "cpu": bodies.cpu}


@contextmanager
def producer():
    queue = Queue("default", connection=Redis.from_url(os.environ[URL]))

    def one(name, *args):
        queue.enqueue_call(TASKS[name], args, result_ttl=0)

    def many(name, calls):
        queue.enqueue_many([Queue.prepare_data(TASKS[name], args, result_ttl=0) for args in calls])

    yield Producer(one, many)

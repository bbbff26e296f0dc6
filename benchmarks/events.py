"""asyncdq with events on the Redis that it works from: the difference is what watching costs."""

from __future__ import annotations

from .ours import producer

__all__ = ["producer"]

PACKAGES = ()
DRIVERS = ("redis",)
VERSIONS = {"redis": ["asyncdq", "redis", "hiredis"]}
WORKER = [
    "{python}",
    "-m",
    "asyncdq",
    "worker",
    "benchmarks.ours",
    "--url={url}",
    "--concurrency={concurrency}",
    "--events-enable-event-emitter-redis",
    "--events-redis-url={url}",
]
SETTINGS = "the same with --events-enable-event-emitter-redis; nobody subscribes"
CRASH = "run again when their leases end"

"""Real servers for the tests, ours to start, kill and freeze.

    with private("redis") as server:
        ...  # server.url
        server.kill9()
        server.start()

A server comes from the first of these that can be had:

1. its URL in ASYNCDQ_TEST_REDIS_URL or ASYNCDQ_TEST_POSTGRES_DSN: never for `private`, and the tests EMPTY its store
2. the program, if it is installed: started on a free port, with a temporary data folder
3. Docker, if it answers and has the image or gets it within 60 seconds

`shared` servers serve all tests of a session. Whatever breaks its server has a private one.
"""

from .server import Server, ServerFailed, ServerUnavailable
from .sources import KINDS, close_shared, private, shared

__all__ = ["KINDS", "Server", "ServerFailed", "ServerUnavailable", "close_shared", "private", "shared"]

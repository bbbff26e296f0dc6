"""The options --drivers and --servers, and the fixtures that every folder may use."""

from tests.servers.fixtures import (
    own_server,
    pytest_addoption,
    pytest_configure,
    pytest_unconfigure,
    queue_url,
)

__all__ = ["own_server", "pytest_addoption", "pytest_configure", "pytest_unconfigure", "queue_url"]

"""The worker: claims, runs, settles."""

from .worker import Worker

__all__ = ["Worker"]

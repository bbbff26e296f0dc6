"""asyncdq: a task queue that loses nothing, on the infrastructure you already have."""

__version__ = "0.1.0"

"""The contract suite, for drivers of your own: docs/drivers.md."""

from .backend import Backend, Store

__all__ = ["Backend", "Store"]

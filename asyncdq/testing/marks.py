"""Marks of the suite's tests."""

import pytest


def needs(*traits: str) -> pytest.MarkDecorator:
    """Run this test on the backends that have all these traits."""
    return pytest.mark.needs(*traits)

"""What is given to us as a number of seconds."""

from __future__ import annotations

import math


def as_seconds(given: object) -> float:
    """It as a float; nan if it is no number, or not finite, or a whole number too large for a float."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return math.nan
    try:
        number = float(given)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan

"""`python -m asyncdq` and the command `asyncdq`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from .cli.app import run  # lazily: the children of a process pool import this module again

        sys.exit(run())
    except KeyboardInterrupt:  # so early that the command line was not there to meet it
        sys.exit(130)


if __name__ == "__main__":
    main()

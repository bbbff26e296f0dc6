"""`asyncdq migrate`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..drivers.base import Migrates
from ..settings import Settings
from .driver import new_driver


def migrate(
    settings: Settings,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the statements that would run.")] = False,
) -> None:
    """Bring the backend's schema up to date. A worker or client does the same when it starts."""
    pending = asyncio.run(_migrate(settings, dry_run))
    if dry_run:
        print("\n".join(pending) if pending else "-- nothing to do")
    else:
        print(f"ran {len(pending)} statements" if pending else "nothing to do")


async def _migrate(settings: Settings, dry_run: bool) -> list[str]:
    async with new_driver(settings) as driver:
        pending = await driver.pending() if isinstance(driver, Migrates) else []
        if not dry_run:
            await driver.setup()
        return pending

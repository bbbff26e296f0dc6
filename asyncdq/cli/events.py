"""`asyncdq events`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..events.wire import clock, facts, line
from ..settings import Settings

if TYPE_CHECKING:
    from ..events import EventSubscriber


def events(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Print what happens to tasks and workers, live, until Ctrl-C.

    Clients and workers publish it if they have --events-enable-event-emitter-redis.
    """
    from ..events import EventSubscriber  # lazily: it needs a package of its own

    asyncio.run(_print(EventSubscriber(settings.events_url(), channel=settings.events_channel), as_json))


async def _print(subscriber: EventSubscriber, as_json: bool) -> None:
    async with subscriber:
        print(f"listening to {subscriber}", file=sys.stderr, flush=True)
        async for event in subscriber:
            print(json.dumps(facts(event)) if as_json else f"{clock(event)} {line(event)}", flush=True)

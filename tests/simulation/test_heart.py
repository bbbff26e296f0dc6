"""Bare hearts stand for whole workers: they are made of the same parts, and live through the same worlds."""

from __future__ import annotations

from dataclasses import fields, replace

from asyncdq.worker.config import Config
from asyncdq.worker.crew import Crew

from .bench import Bench, virtual
from .hand import told
from .heart import Heart, SimulatedWorker
from .parts import Parts
from .scene import Scene
from .size import TINY
from .virtual import VirtualLoop


class Opened(Parts):
    """The real parts, and a look at them."""

    def __init__(self) -> None:
        self.seen: list[type] = []

    def crew(self, config: Config, real: Crew) -> Crew:
        """Note of what kind each is."""
        self.seen = [type(getattr(real, part.name)) for part in fields(real)]
        return real


@virtual
async def test_a_bare_heart_is_made_of_the_same_parts_as_a_whole_worker() -> None:
    bench, whole, bare = Bench(), Opened(), Opened()
    await SimulatedWorker(bench.driver("whole"), burst=True, parts=whole).start(handle_signals=False)
    driver = bench.driver("bare")
    driver.is_connected()
    await Heart(driver, told(queues=("default",), burst=True), bare).start()
    assert whole.seen == bare.seen != []


def test_whole_workers_keep_the_promises_in_tiny_worlds_too() -> None:
    for seed in range(200):
        loop = VirtualLoop()
        scene = Scene(seed, loop, replace(TINY, bare=False))
        loop.run_until_complete(scene.live())
        scene.server.closed = scene.ledger.closed = True
        loop.finish()
        assert scene.ledger.violations == []

"""A small or tiny world: one or two workers, one to four tasks, and at most two mishaps; `size.py` has the dice.

Bugs need little: two workers, a message or two, one thing that goes wrong at the right moment. So many tiny
worlds find more in a second than few large ones, and what they find is short enough to read.
"""

from __future__ import annotations

import asyncio
from functools import partial

from . import dice
from .dice import pick, roll, uniform
from .drafts import Draft, draft
from .hand import Hand
from .ledger import LEDGER, Ledger
from .scripted import CALL_TIMEOUT
from .size import Size
from .variant import Variant
from .virtual import Process, VirtualLoop
from .weather import PlannedNetwork

HORIZON = 2_000.0  # seconds
FROZEN_COMPANY = 0.7  # a freeze alone shows little: somebody has to take over
MISHAPS = ("crash", "crash", "crash", "freeze", "freeze", "freeze", "call", "call", "call", "outage")
VERBS = ("connect", "dequeue", "dequeue", "extend", "extend", "settle", "settle", "settle")
FIRST_CALLS = 3  # of these, one of which may fail
LONGEST_FREEZE, LONGEST_OUTAGE = 18.0, 8.0  # seconds
MOST_TOLD = 4  # workers that are told to end before all is done
LAST_OUTCOMES, STUCK_AFTER = 10.0, 5.0  # what the worker promises for its end, beside the grace period


class Scene:
    """One seed's small world. After `live`, `ledger.violations` says what went wrong."""

    def __init__(self, seed: int, loop: VirtualLoop, size: Size, variant: Variant | None = None) -> None:
        dice.seed(seed)
        self.size, self.loop = size, loop
        self.variant = variant or Variant()
        self.ledger = Ledger(loop.time)
        self.most = pick(size.attempts)
        self.killer = roll() < size.killers
        harm = 0 if self.killer else min(self.most - 1, pick(size.mishaps))  # less than any task survives
        self.mishaps = [pick(MISHAPS) for _ in range(harm)]
        self.hold = pick((3.0, 9.0)) if roll() < 0.1 else None
        self.network = PlannedNetwork()
        self.server = self.variant.server(honours_lapsed=roll() < 0.5, clock=loop.time)
        self.server.on_empty = self._stir
        self.hands: list[Hand] = []
        self.hired = 0
        self.unsent = 0
        self.late = 0.0  # seconds by which mishaps may delay an end
        self._changed: asyncio.Future[None] | None = None

    async def live(self) -> None:
        """Run it all, to the last check."""
        LEDGER.set(self.ledger)
        loop = self.loop
        freezes = "freeze" in self.mishaps
        for number in range(pick(self.size.tasks) + self.killer):
            killer = self.killer and number == 0
            self._enqueue(draft(self.size, f"t{number}", self.most, killer, self.hold, freezes))
        self._plan_for_the_network()
        self._hire()
        if roll() < (FROZEN_COMPANY if freezes else self.size.company):
            loop.call_later(uniform(0.0, 4.0), self._hire)
        while self.unsent or self.server.rows:
            if self.server.rows and all(hand.told is not None for hand in self.hands):
                await asyncio.sleep(roll() * 2.0)  # virtual: until the operator replaces them
                self._hire()
            else:
                await self._next()
        while self.hands:
            for hand in self.hands:
                self._tell(hand)
            await self._next()
        self.ledger.check_ends()

    def _enqueue(self, each: Draft) -> None:
        self.unsent += 1
        if each.at == 0.0:
            self._store(each)
            return
        self.loop.outside(each.at, self._store, each)

    def _store(self, each: Draft) -> None:
        self.unsent -= 1
        self.ledger.promised(each.message.id, each.promise, each.message.delay)
        self.server.enqueue([each.message])
        self._stir()

    def _plan_for_the_network(self) -> None:
        """One thing at most: what a worker does about two at once may take longer than it has for its end."""
        loop = self.loop
        self.ledger.kind = True
        if self._takes("call"):
            self.network.plan(pick(VERBS), pick(range(FIRST_CALLS)))
            self.late += 2 * CALL_TIMEOUT
        elif self._takes("outage"):
            self.late += LONGEST_OUTAGE
            loop.outside(uniform(0.0, 4.0), self._go_down)
            self.ledger.kind = False
        else:
            self.ledger.steady = True

    def _hire(self) -> None:
        """A worker begins; some have a date with fate."""
        loop = self.loop
        self.hired += 1
        process = Process(loop, f"w{self.hired}")
        hand = Hand(process, self.variant, self.server, self.network, self.ledger, self.hold, self.size)
        self.hands.append(hand)
        self.ledger.processes[process.name] = process
        self.ledger.note(process.name, "begins")
        if self._takes("crash"):
            hand.plan(process.crash)
        if self._takes("freeze"):
            hand.plan(partial(self._freeze, process))
        if self.hired <= MOST_TOLD and roll() < self.size.told:
            hand.plan(partial(self._tell, hand))
        hand.start(self._gone)

    def _takes(self, mishap: str) -> bool:
        """Whether this is to happen here; one that is left over may happen to the next worker."""
        if mishap not in self.mishaps or (self.hired and roll() < 0.3):
            return False
        self.mishaps.remove(mishap)
        return True

    def _freeze(self, process: Process) -> None:
        seconds = uniform(2.0, LONGEST_FREEZE)
        self.late += seconds
        self.ledger.note(process.name, "freezes for", seconds)
        self.ledger.troubled(process.name)
        process.freeze()
        self.loop.outside(seconds, self._thaw, process)

    def _thaw(self, process: Process) -> None:
        self.ledger.note(process.name, "thaws")
        self.ledger.troubled(process.name)
        process.thaw()

    def _go_down(self) -> None:
        self.ledger.note("the server goes down")
        self.network.down = True
        self.server.wake()
        self.loop.outside(uniform(0.1, LONGEST_OUTAGE), self._come_back)

    def _come_back(self) -> None:
        self.ledger.note("the server is back")
        self.network.down = False

    def _tell(self, hand: Hand) -> None:
        """Tell it to end, in one of the ways there are."""
        if hand.told is not None or hand.process.dead:
            return
        loop, way = self.loop, pick(self.size.ways)
        hand.told, hand.process.ending = loop.time(), True
        self.ledger.note(hand.process.name, "is told to end:", way)
        if way == "cancel":
            hand.process.do(hand.cancel)
        else:
            hand.process.do(partial(hand.worker.stop, now=way == "now"))
        if way == "twice":
            again = partial(hand.process.do, partial(hand.worker.stop, now=True))
            loop.outside(uniform(0.0, 2.0), again)
        bound = hand.grace + STUCK_AFTER + LAST_OUTCOMES + 3 * CALL_TIMEOUT + self.late
        loop.outside(bound, self._overdue, hand)
        self._stir()

    def _overdue(self, hand: Hand) -> None:
        if hand in self.hands and not hand.process.dead:
            self.ledger.broken(f"{hand.process.name} has not ended in time after it was told to")
            hand.process.crash()

    def _gone(self, hand: Hand) -> None:
        """It has crashed, or ended."""
        self.hands.remove(hand)
        if hand.process.dead:
            self.ledger.note(hand.process.name, "crashes")
        else:
            hand.judge()
        self._stir()

    def _stir(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _next(self) -> None:
        """Return when a worker has ended or the server is empty."""
        self._changed = self.loop.create_future()
        await self._changed

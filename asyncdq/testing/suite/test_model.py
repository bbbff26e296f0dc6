"""Random histories of every verb, stale receipts included, against the plain model of `model.py`."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Dead, Delivery, Done, Message, Outcome, Unstarted
from asyncdq.testing.backend import Backend
from asyncdq.testing.claims import LONG, SOON, letters, passing
from asyncdq.testing.marks import needs
from asyncdq.testing.model import Model

T = TypeVar("T")

QUICK = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

SLOW = settings(QUICK, max_examples=4)  # where each end of a lease takes a second

MOMENT = 0.002  # seconds of a lease or delay that ends on purpose; where only whole ones are known, 1

numbers = st.integers(0, 11)
queues = st.sampled_from(["left", "right"])
ids = st.sampled_from(["a", "b", "c", "d", "e"])
delays = st.sampled_from([0.0, 0.0, 0.0, 0.0, LONG])
pauses = st.sampled_from([0.0, 0.0, LONG])
messages = st.builds(Message, ids, queues, st.binary(max_size=4), delays)
again = st.builds(Again, pauses, st.booleans())
unstarted = st.builds(Unstarted, pauses)
dead = st.builds(Dead, st.sampled_from(["attempts", "rejected", "lost"]))
outcomes = st.one_of(st.just(Done()), again, unstarted, dead)
shares = st.sampled_from(
    [{"left": 2, "right": 2}, {"right": 3, "left": 1}, {"left": 9, "right": 9}, {"right": 9, "left": 9}]
)


def pick(choices: Sequence[T], number: int) -> T:
    """One of what there is at the moment; a smaller number means an earlier one."""
    return choices[number % len(choices)]


class History(RuleBasedStateMachine):
    """One random history on one new store. Each step goes through either of two drivers, where there can be two."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend = backend
        self.moment = MOMENT if backend.fractions else 1.0
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.model = Model(backend)
        self.names = itertools.count()
        store = backend.store(Path(self.folder.name))
        self.drivers = [store() for _ in range(2 if backend.shared else 1)]
        self.given: list[tuple[Delivery, BaseDriver]] = []  # every delivery ever, the newest first
        for driver in self.drivers:
            self.run(driver.connect())
            self.run(driver.setup())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def teardown(self) -> None:
        for driver in self.drivers:
            self.run(driver.disconnect())
        self.runner.close()
        self.folder.cleanup()

    def named(self, message: Message) -> Message:
        """With an id that was never used before, if the backend does not care about that."""
        return message if self.backend.unique_ids else replace(message, id=f"{message.id}-{next(self.names)}")

    def called(self, queue: str, some: list[str]) -> list[str]:
        """Ids to be asked for: these, or as many that are there; which those are, depends on no order of claims."""
        graves = [id for name, id in self.model.graves if name == queue]
        return some if self.backend.unique_ids else [*graves[: len(some)], *some]

    def held(self) -> list[tuple[Delivery, BaseDriver]]:
        return [(delivery, driver) for delivery, driver in self.given if self.model.owned(delivery)]

    @initialize(batch=st.lists(messages, min_size=6, max_size=6))
    def begin_with_something(self, batch: list[Message]) -> None:
        self.enqueue(0, batch)

    @precondition(lambda self: len(self.model.rows) < 8)
    @rule(number=numbers, batch=st.lists(messages, min_size=1, max_size=4))
    def enqueue(self, number: int, batch: list[Message]) -> None:
        batch = [self.named(message) for message in batch]
        assert self.run(pick(self.drivers, number).enqueue(batch)) == self.model.enqueue(batch)

    @precondition(lambda self: len(self.model.rows) < 8)
    @rule(number=numbers, id=ids, queue=queues)
    def enqueue_and_let_the_delay_pass(self, number: int, id: str, queue: str) -> None:
        message = self.named(Message(id, queue, b"delayed", self.moment))
        known = self.run(pick(self.drivers, number).enqueue([message]))
        assert known == self.model.enqueue([message])
        if not known:
            self.run(passing(self.moment + MOMENT))
            self.model.mature(message)
            self.run(self.all_ready())

    @precondition(lambda self: any(map(self.model.claimable, ("left", "right"))))
    @rule(number=numbers, wanted=shares, limit=st.integers(1, 9))
    def dequeue(self, number: int, wanted: dict[str, int], limit: int) -> None:
        driver = pick(self.drivers, number)
        self.run(self.nothing_buffered(driver))
        came: list[Delivery] = []
        while self.model.expected(wanted, limit):  # who buffers may hand it out piece by piece
            got = self.run(driver.dequeue(wanted, limit, LONG))
            self.model.claim(wanted, limit, got)
            taken = Counter(delivery.queue for delivery in got)
            wanted, limit = {queue: share - taken[queue] for queue, share in wanted.items()}, limit - len(got)
            came += got
        self.given = [(delivery, driver) for delivery in came] + self.given

    @precondition(lambda self: self.held())
    @rule(number=numbers, outcome=again)
    def retry(self, number: int, outcome: Outcome) -> None:
        self.settle([(pick(self.held(), number), outcome)])

    @precondition(lambda self: self.held())
    @rule(number=numbers, outcome=unstarted)
    def give_back(self, number: int, outcome: Outcome) -> None:
        self.settle([(pick(self.held(), number), outcome)])

    @precondition(lambda self: self.held())
    @rule(number=numbers, outcome=dead)
    def bury(self, number: int, outcome: Outcome) -> None:
        self.settle([(pick(self.held(), number), outcome)])

    @precondition(lambda self: self.held())
    @rule(verdicts=st.lists(outcomes, min_size=2, max_size=3))
    def settle_what_is_held(self, verdicts: list[Outcome]) -> None:
        self.settle(list(zip(self.held(), verdicts, strict=False)))

    @precondition(lambda self: self.given)
    @rule(verdicts=st.lists(st.tuples(numbers, outcomes), min_size=1, max_size=3))
    def settle_whatever_was_held_once(self, verdicts: list[tuple[int, Outcome]]) -> None:
        self.settle([(each, outcome) for each, outcome in {pick(self.given, n): o for n, o in verdicts}.items()])

    def settle(self, verdicts: list[tuple[tuple[Delivery, BaseDriver], Outcome]]) -> None:
        for driver in self.drivers:
            own = [(delivery, outcome) for (delivery, owner), outcome in verdicts if owner is driver]
            self.model.settle(own, self.run(driver.settle(own)))

    @precondition(lambda self: self.given)
    @rule(number=numbers)
    def extend_whatever_was_held_once(self, number: int) -> None:
        self.extend(*pick(self.given, number), LONG)

    async def nothing_buffered(self, *spared: BaseDriver) -> None:
        """What the others have not handed out is ready for this one."""
        for driver in () if self.backend.unbuffered else self.drivers:
            if driver not in spared:
                await driver.give_back()

    @precondition(lambda self: not self.backend.ends_leases and self.held())
    @rule(number=numbers)
    def let_a_driver_leave_and_come_back(self, number: int) -> None:
        leaving = pick(self.held(), number)[1]
        lost = [delivery for delivery, driver in self.held() if driver is leaving]
        self.run(leaving.disconnect())
        self.run(leaving.connect())
        for delivery in lost:
            self.model.leave(delivery)
        self.run(self.all_ready())

    async def all_ready(self) -> None:
        """What the model takes for ready is ready; nothing tells when a broker has noticed that a driver left."""
        await self.nothing_buffered()
        async with asyncio.timeout(SOON):
            for queue in ("left", "right"):
                while True:
                    if (await self.drivers[0].stats(queue)).ready == self.model.stats(queue).ready:
                        break
                    await asyncio.sleep(0.005)  # between two looks

    @precondition(lambda self: self.backend.ends_leases and self.held())
    @rule(number=numbers)
    def let_leases_end(self, number: int) -> None:
        lapsing = self.held()[: number + 1]
        for delivery, driver in lapsing:
            self.extend(delivery, driver, self.moment)
        self.run(passing(self.moment + MOMENT))
        for delivery, _ in lapsing:
            self.model.lapse(delivery)

    def extend(self, delivery: Delivery, driver: BaseDriver, lease: float) -> None:
        refused = self.run(driver.extend([delivery], lease))
        self.model.extend(delivery, accepted=not refused)

    @precondition(lambda self: self.model.graves)
    @rule(number=numbers, queue=queues, some=st.lists(ids, min_size=2, unique=True))
    def requeue(self, number: int, queue: str, some: list[str]) -> None:
        some = self.called(queue, some)
        moved = self.run(letters(pick(self.drivers, number)).requeue(queue, some))
        assert sorted(moved) == sorted(self.model.requeue(queue, some))

    @precondition(lambda self: self.model.graves)
    @rule(number=numbers, queue=queues, some=st.lists(ids, unique=True))
    def delete_dead(self, number: int, queue: str, some: list[str]) -> None:
        some = self.called(queue, some)
        gone = self.run(letters(pick(self.drivers, number)).delete_dead(queue, some))
        assert sorted(gone) == sorted(self.model.delete_dead(queue, some))

    @precondition(lambda self: len(self.model.rows) > 6)
    @rule(number=numbers, queue=queues)
    def purge(self, number: int, queue: str) -> None:
        self.run(self.nothing_buffered())
        deleted = self.run(pick(self.drivers, number).purge(queue))
        assert deleted is not None
        self.model.purge(queue, deleted)

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        self.run(self.compare())

    async def compare(self) -> None:
        driver = self.drivers[0]
        names = await driver.queues()
        assert names is None or set(names) == self.model.queues()
        for queue in ("left", "right"):
            stats = await driver.stats(queue)
            self.model.check_stats(stats, queue)
            if stats.dead:
                self.model.check_dead(queue, await letters(self.drivers[-1]).dead(queue, 100))


@pytest.mark.timeout(400)  # a failing history is shortened for up to 5 minutes before it is shown
@needs("counts_purged", "dead_letters")
def test_no_history_leaves_the_model(backend: Backend) -> None:
    class HistoryOfBackend(History):
        def __init__(self) -> None:
            super().__init__(backend)

    run_state_machine_as_test(HistoryOfBackend, settings=QUICK if backend.fractions else SLOW)

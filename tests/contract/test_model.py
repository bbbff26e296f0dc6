"""Random histories of every verb, stale receipts included, against the plain model of `model.py`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from asyncdq.drivers.base import BaseDriver
from asyncdq.message import Again, Dead, Delivery, Message, Outcome, Unstarted
from asyncdq.message import Done as DoneOutcome
from tests.contract.backends import Backend, needs
from tests.contract.claims import LONG, letters
from tests.contract.model import Model

T = TypeVar("T")

QUICK = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

MOMENT = 0.002  # seconds of a lease or delay that ends on purpose

queues = st.sampled_from(["left", "right"])
ids = st.sampled_from(["a", "b", "c", "d"])
delays = st.sampled_from([0.0, 0.0, 0.0, LONG])
messages = st.builds(Message, ids, queues, st.binary(max_size=4), delays)
outcomes = st.one_of(
    st.just(DoneOutcome()),
    st.builds(Again, delays, st.booleans()),
    st.builds(Unstarted, delays),
    st.builds(Dead, st.sampled_from(["attempts", "rejected"])),
)
shares = st.sampled_from([{"left": 2, "right": 2}, {"right": 3, "left": 1}, {"left": 4}, {"right": 4}])


class History(RuleBasedStateMachine):
    """One random history on one new store. Each step goes through either of two drivers, where there can be two."""

    deliveries = Bundle("deliveries")

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.model = Model()
        store = backend.store(Path(self.folder.name))
        self.drivers = [store() for _ in range(2 if backend.shared else 1)]
        self.owner: dict[Delivery, BaseDriver] = {}
        for driver in self.drivers:
            self.run(driver.connect())
            self.run(driver.setup())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def any(self, number: int) -> BaseDriver:
        return self.drivers[number % len(self.drivers)]

    def teardown(self) -> None:
        for driver in self.drivers:
            self.run(driver.disconnect())
        self.runner.close()
        self.folder.cleanup()

    @rule(number=st.integers(0, 1), batch=st.lists(messages, min_size=1, max_size=4))
    def enqueue(self, number: int, batch: list[Message]) -> None:
        assert self.run(self.any(number).enqueue(batch)) == self.model.enqueue(batch)

    @rule(target=deliveries, number=st.integers(0, 1), wanted=shares, limit=st.integers(0, 4))
    def dequeue(self, number: int, wanted: dict[str, int], limit: int) -> Any:
        driver = self.any(number)
        got = self.run(driver.dequeue(wanted, limit, LONG))
        self.model.claim(wanted, limit, got)
        self.owner |= dict.fromkeys(got, driver)
        return multiple(*got)

    @rule(batch=st.lists(st.tuples(deliveries, outcomes), min_size=1, max_size=3, unique_by=lambda each: id(each[0])))
    def settle(self, batch: list[tuple[Delivery, Outcome]]) -> None:
        for driver in self.drivers:
            own = [(delivery, outcome) for delivery, outcome in batch if self.owner[delivery] is driver]
            self.model.settle(own, self.run(driver.settle(own)))

    @rule(delivery=deliveries)
    def extend(self, delivery: Delivery) -> None:
        refused = self.run(self.owner[delivery].extend([delivery], LONG))
        self.model.extend(delivery, accepted=not refused)

    @rule(delivery=deliveries)
    def let_the_lease_end(self, delivery: Delivery) -> None:
        if not self.model.owned(delivery):
            return
        refused = self.run(self.owner[delivery].extend([delivery], MOMENT))
        self.model.extend(delivery, accepted=not refused)
        self.run(asyncio.sleep(MOMENT * 1.5))
        self.model.lapse(delivery)

    @rule(number=st.integers(0, 1), id=ids, queue=queues)
    def enqueue_and_let_the_delay_pass(self, number: int, id: str, queue: str) -> None:
        message = Message(id, queue, b"delayed", MOMENT)
        known = self.run(self.any(number).enqueue([message]))
        assert known == self.model.enqueue([message])
        if not known:
            self.run(asyncio.sleep(MOMENT * 1.5))
            self.model.mature(message)

    @rule(number=st.integers(0, 1), queue=queues, some=st.lists(ids, unique=True))
    def requeue(self, number: int, queue: str, some: list[str]) -> None:
        moved = self.run(letters(self.any(number)).requeue(queue, some))
        assert sorted(moved) == sorted(self.model.requeue(queue, some))

    @rule(number=st.integers(0, 1), queue=queues, some=st.lists(ids, unique=True))
    def delete_dead(self, number: int, queue: str, some: list[str]) -> None:
        gone = self.run(letters(self.any(number)).delete_dead(queue, some))
        assert sorted(gone) == sorted(self.model.delete_dead(queue, some))

    @rule(number=st.integers(0, 1), queue=queues)
    def purge(self, number: int, queue: str) -> None:
        deleted = self.run(self.any(number).purge(queue))
        assert deleted is not None
        self.model.purge(queue, deleted)

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        self.run(self.compare())

    async def compare(self) -> None:
        driver = self.drivers[0]
        assert set(await driver.queues() or []) == self.model.queues()
        for queue in ("left", "right"):
            stats = await driver.stats(queue)
            assert stats == self.model.stats(queue)
            if stats.dead:
                self.model.check_dead(queue, await letters(self.drivers[-1]).dead(queue, 100))


@pytest.mark.timeout(400)  # a failing history is shortened for up to 5 minutes before it is shown
@needs("unique_ids", "ends_leases", "lists_queues", "counts_purged", "counts_all", "dead_letters")
def test_no_history_leaves_the_model(backend: Backend) -> None:
    class HistoryOfBackend(History):
        def __init__(self) -> None:
            super().__init__(backend)

    run_state_machine_as_test(HistoryOfBackend, settings=QUICK)

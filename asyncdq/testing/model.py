"""What a driver's store must hold, as plain Python: no clock, no backend.

Time is left out. A lease or a delay either outlives the run, or has ended for certain when the model is
told so (`lapse`, `mature`). Where the contract allows two answers the model is told which one was given.

    enqueue -> READY | DELAYED          claim: READY, LAPSED -> LEASED        lapse: LEASED -> LAPSED
    mature: DELAYED -> READY            settle: LEASED, LAPSED -> gone, READY, DELAYED, buried
                                        leave: LEASED -> READY, where a lease ends with its driver only
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from asyncdq.message import Again, Dead, DeadLetter, Delivery, Done, Message, Outcome, QueueStats, Unstarted
from asyncdq.testing.backend import Backend

Key = tuple[str, str]
"""Queue and id."""


class State(Enum):
    """What a message waits for, and who has it."""

    READY = "ready"
    DELAYED = "delayed"
    LEASED = "leased"
    LAPSED = "leased to someone whose time is over, claimable, and not claimed by anyone else yet"


@dataclass(slots=True, eq=False)
class Row:
    """One message that is waiting or running. `fresh`: undelayed and never claimed, so its turn is certain."""

    body: bytes
    state: State
    fresh: bool
    attempt: int = 1
    lost: int = 0
    owner: Delivery | None = None

    def open_to(self, delivery: Delivery) -> set[bool]:
        """Whether the contract lets this delivery act on the message: the answers that are legal."""
        if self.owner is not delivery:
            return {False}
        return {True} if self.state is State.LEASED else {True, False}

    def wait_again(self, delay: float) -> None:
        """Its claim has ended: it is ready, or will be after `delay`."""
        self.owner = None
        self.state = State.DELAYED if delay else State.READY


@dataclass(frozen=True, slots=True)
class Grave:
    """One dead letter. `call`: the number of the call that buried it, for the order among others."""

    body: bytes
    reason: str
    attempts: int
    call: int


class Model:
    """All queues of one store."""

    def __init__(self, traits: Backend) -> None:
        self.traits = traits
        self.rows: dict[Key, Row] = {}  # in the order of enqueueing
        self.graves: dict[Key, Grave] = {}
        self.calls = 0

    def enqueue(self, messages: Iterable[Message]) -> list[Message]:
        """Store what is new; the others are returned."""
        known: list[Message] = []
        for message in messages:
            key = message.queue, message.id
            if key in self.rows:
                known.append(message)
                continue
            state = State.DELAYED if message.delay else State.READY
            self.rows[key] = Row(message.body, state, fresh=not message.delay)
        return known

    def claimable(self, queue: str) -> list[str]:
        """The ids of a queue that a claim may hand out now."""
        open_states = (State.READY, State.LAPSED)
        return [id for (name, id), row in self.rows.items() if name == queue and row.state in open_states]

    def expected(self, queues: Mapping[str, int], limit: int) -> list[str]:
        """The queues of what this claim is to hand out, one name for each message."""
        expected: list[str] = []
        for queue, share in queues.items():
            expected += [queue] * min(share, limit - len(expected), len(self.claimable(queue)))
        return expected

    def claim(self, queues: Mapping[str, int], limit: int, got: Sequence[Delivery]) -> None:
        """Check that `got` is a legal answer to this claim, and make it so."""
        expected = self.expected(queues, limit)
        # Who buffers may hand out less than there is, but not nothing, and not of a queue whose turn it is not.
        fewest = len(expected) if self.traits.unbuffered else min(1, len(expected))
        assert len(got) >= fewest, "there is more"
        assert [delivery.queue for delivery in got] == expected[: len(got)]
        for queue in queues if self.traits.unbuffered else ():  # what is given back goes to the end
            fresh = [id for id in self.claimable(queue) if self.rows[queue, id].fresh]
            came = [each.id for each in got if each.queue == queue and self.rows[queue, each.id].fresh]
            assert came == fresh[: len(came)], "not first in, first out"
        for delivery in got:
            self._hand_out(delivery)

    def _hand_out(self, delivery: Delivery) -> None:
        row = self.rows[delivery.queue, delivery.id]
        assert row.state in (State.READY, State.LAPSED), "owned twice"
        if row.state is State.LAPSED:
            row.lost += 1
        assert (delivery.body, delivery.attempt, delivery.lost) == (row.body, row.attempt, row.lost)
        row.state, row.owner, row.fresh = State.LEASED, delivery, False

    def lapse(self, delivery: Delivery) -> None:
        """The lease of this delivery has ended."""
        self.rows[delivery.queue, delivery.id].state = State.LAPSED

    def leave(self, delivery: Delivery) -> None:
        """Its driver has left: it is ready, and lost."""
        row = self.rows[delivery.queue, delivery.id]
        row.lost += 1
        row.wait_again(0)

    def mature(self, message: Message) -> None:
        """The delay of this message has passed."""
        self.rows[message.queue, message.id].state = State.READY

    def settle(self, outcomes: Iterable[tuple[Delivery, Outcome]], refused: Sequence[Delivery]) -> None:
        """Check that this answer is legal, and make the outcomes that were not refused so."""
        self.calls += 1
        for delivery, outcome in outcomes:
            self._settle(delivery, outcome, delivery not in refused)

    def _settle(self, delivery: Delivery, outcome: Outcome, accepted: bool) -> None:
        row = self._act(delivery, accepted)
        if row is None:
            return
        key = delivery.queue, delivery.id
        if isinstance(outcome, (Done, Dead)):
            del self.rows[key]
        if isinstance(outcome, Dead):
            executed = outcome.reason != "lost"  # that burial comes before the task is started
            self.graves[key] = Grave(row.body, outcome.reason, row.attempt - 1 + row.lost + executed, self.calls)
        elif isinstance(outcome, Again):
            row.attempt, row.lost = row.attempt + outcome.counted, 0
            row.wait_again(outcome.delay)
        elif isinstance(outcome, Unstarted):
            row.wait_again(outcome.delay)  # `lost` counts the claims before this one, and those stay lost

    def extend(self, delivery: Delivery, accepted: bool) -> None:
        """Check that this answer is legal, and if it was accepted, make it so."""
        if row := self._act(delivery, accepted):
            row.state = State.LEASED

    def _act(self, delivery: Delivery, accepted: bool) -> Row | None:
        row = self.rows.get((delivery.queue, delivery.id))
        legal = row.open_to(delivery) if row else {False}
        assert accepted in legal, f"{'accepted' if accepted else 'refused'}, and legal was {legal}"
        return row if accepted else None

    def owned(self, delivery: Delivery) -> bool:
        """Whether this delivery holds a lease that has not ended."""
        row = self.rows.get((delivery.queue, delivery.id))
        return row is not None and row.owner is delivery and row.state is State.LEASED

    def requeue(self, queue: str, ids: Iterable[str]) -> list[str]:
        """The ids that move from the graves to the end of the queue."""
        moved = [id for id in ids if (queue, id) in self.graves and (queue, id) not in self.rows]
        for id in moved:
            grave = self.graves.pop((queue, id))
            self.rows[queue, id] = Row(grave.body, State.READY, fresh=False)
        return moved

    def delete_dead(self, queue: str, ids: Iterable[str]) -> list[str]:
        """The ids that were in the graves."""
        return [id for id in ids if self.graves.pop((queue, id), None)]

    def purge(self, queue: str, deleted: int) -> None:
        """Check that this is the right number, and make it so."""
        purged = (State.READY, State.DELAYED) if self.traits.purges_delayed else (State.READY,)
        gone = [key for key, row in self.rows.items() if key[0] == queue and row.state in purged]
        assert deleted == len(gone)
        for key in gone:
            del self.rows[key]

    def check_dead(self, queue: str, found: Sequence[DeadLetter]) -> None:
        """Check that these are the queue's dead letters, the oldest first."""
        graves = {id: grave for (name, id), grave in self.graves.items() if name == queue}
        order = [graves.pop(letter.id) for letter in found]
        assert not graves, "a dead letter is missing"
        assert order == sorted(order, key=lambda grave: grave.call), "not the oldest first"
        for letter, grave in zip(found, order, strict=True):
            assert (letter.body, letter.reason, letter.attempts) == (grave.body, grave.reason, grave.attempts)

    def check_stats(self, found: QueueStats, queue: str) -> None:
        """Check that these are the numbers, where they are known; what others have buffered is not ready to all."""
        expected = self.stats(queue)
        if self.traits.counts_all:
            assert found == expected
        for name in ("ready", "delayed", "leased", "dead"):
            number: int | None = getattr(found, name)
            assert number is None or number <= getattr(expected, name), name
        assert found.dead in (None, expected.dead)

    def stats(self, queue: str) -> QueueStats:
        """How many there are, by state."""
        states = [row.state for (name, _), row in self.rows.items() if name == queue]
        ready = states.count(State.READY) + states.count(State.LAPSED)
        dead = sum(name == queue for name, _ in self.graves)
        return QueueStats(ready, states.count(State.DELAYED), states.count(State.LEASED), dead)

    def queues(self) -> set[str]:
        """The names of the queues that hold anything."""
        return {queue for queue, _ in (*self.rows, *self.graves)}

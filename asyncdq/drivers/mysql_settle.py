"""Writing outcomes: one transaction for a batch of any kinds mixed; for successes one statement, if it can say which.

That costs half as much, and the server carries it out whole although the client hangs up. Of several statements it
leaves those undone that follow the first answer it cannot send.

A transaction first locks the rows whose token is still ours, which is the answer, then writes them. Every part compares
the token again, since only the server knows what the first found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import aiomysql
from aiomysql import Connection

from ..errors import Blocked
from ..message import Again, Dead, Delivery, Done, Outcome, Unstarted, executions
from .base import untold
from .mysql_errors import LOCKED, code_of
from .mysql_link import NOW, Answer, ask, text
from .mysql_tables import Tables
from .mysql_tasks import KEEPS, Receipt, microseconds, ours
from .transport import telling, transport_of

Outcomes = Sequence[tuple[Delivery, Outcome]]

SURE = 500
"""Successes that are carried out though we die: the answer fits into the server's buffer (net_buffer_length, 16 KiB
unless somebody has made it smaller). Of a longer one a part is sent before the end, and if that fails all is undone."""


def parts(outcomes: Outcomes, room: int) -> Iterator[Outcomes]:
    """The outcomes in runs that fit into one call of `room` bytes."""
    begin = size = 0
    leases: dict[int, Receipt] = {}  # answers say seq alone: of one message, one lease in a call
    for end, (delivery, outcome) in enumerate(outcomes):
        needed = 300  # its receipt stands in three statements
        if isinstance(outcome, Dead):
            needed += 8 * (len(outcome.error) + len(outcome.detail))  # four bytes a character, two digits a byte
        receipt = delivery.receipt
        if size and (size + needed > room or leases.get(receipt.seq, receipt) != receipt):
            yield outcomes[begin:end]
            begin, size = end, 0
            leases.clear()
        leases[receipt.seq] = receipt
        size += needed
    yield outcomes[begin:]


async def settle(
    connection: Connection, tables: Tables, outcomes: Outcomes, returning: bool, sent: Callable[[], None] = untold
) -> list[Delivery]:
    """Write the outcomes; return the deliveries that were no longer ours. Given twice, the first one holds.

    `returning`: whether the server knows that word. `sent` hears when all is on its way, if that is before the answer.
    Raises Blocked if a row stays locked: then nothing is written.
    """
    firsts: dict[Receipt, tuple[Delivery, Outcome]] = {}
    for delivery, outcome in outcomes:
        firsts.setdefault(delivery.receipt, (delivery, outcome))
    try:
        found = await _write(connection, tables, firsts, returning, sent)
    except aiomysql.MySQLError as error:
        if code_of(error) != LOCKED:
            raise
        raise Blocked(KEEPS) from error
    kept = {row[0] for row in found.rows}
    return [
        delivery
        for delivery, _ in outcomes
        if delivery.receipt.seq not in kept or firsts[delivery.receipt][0] is not delivery
    ]


def locking(tables: Tables, receipts: Collection[Receipt]) -> str:
    """Begins the transaction; the second answer has the seq of those that are ours."""
    return (
        f"start transaction; select seq, token from {tables.tasks} as task force index (primary)"
        f" where {ours(receipts)} for update"
    )


async def _write(
    connection: Connection,
    tables: Tables,
    outcomes: Mapping[Receipt, tuple[Delivery, Outcome]],
    returning: bool,
    sent: Callable[[], None],
) -> Answer:
    """The places of those that were ours."""
    if returning and all(isinstance(outcome, Done) for _, outcome in outcomes.values()):
        told = sent if len(outcomes) <= SURE else untold  # aiomysql writes it before it first waits
        return (await telling(told, transport_of(connection), ask(connection, _forget(tables, outcomes))))[0]
    writes = _writes(tables, list(outcomes.values()))
    return (await ask(connection, ";".join([locking(tables, outcomes), f"set @now = {NOW}", *writes, "commit"])))[1]


def _forget(tables: Tables, receipts: Collection[Receipt]) -> str:
    """A statement that reads no other rows, so that it never waits for their locks.

    "Safe" updates go by a key: this form of delete cannot name one, and would read a small table whole.
    """
    return f"set statement sql_safe_updates = 1 for delete from {tables.tasks} where {ours(receipts, '')} returning seq"


def _writes(tables: Tables, outcomes: Outcomes) -> Iterator[str]:
    gone: list[Receipt] = []
    dead: list[tuple[Delivery, Dead]] = []
    back: dict[tuple[int, int], dict[Receipt, str]] = {}
    for delivery, outcome in outcomes:
        match outcome:
            case Done():
                gone.append(delivery.receipt)
            case Again(delay, counted):
                back.setdefault((int(counted), 0), {})[delivery.receipt] = f"@now + {microseconds(delay)}"
            case Unstarted(delay):
                place = f"@now + {microseconds(delay)}" if delay > 0 else "taken_from"
                back.setdefault((0, 1), {})[delivery.receipt] = place
            case Dead():
                dead.append((delivery, outcome))
                gone.append(delivery.receipt)
    if dead:
        yield _burial(tables, dead)
    if gone:
        yield f"delete task from {tables.tasks} as task force index (primary) where {ours(gone)}"
    for (raised, kept), places in back.items():
        yield _return(tables, places, raised, kept)


def _return(tables: Tables, places: dict[Receipt, str], raised: int, kept: int) -> str:
    """One statement for all that go back with the same counters; each to a time of its own."""
    times = set(places.values())
    cases = " ".join(f"when {receipt.seq} then {place}" for receipt, place in places.items())
    return (
        f"update {tables.tasks} as task force index (primary)"
        f" set visible_at = {times.pop() if len(times) == 1 else f'case seq {cases} end'}, taken_from = null,"
        f" token = null, attempt = attempt + {raised}, lost = lost * {kept} where {ours(places)}"
    )


def _burial(tables: Tables, dead: Sequence[tuple[Delivery, Dead]]) -> str:
    """A letter that is there already makes room for the new one."""
    letters = " union all ".join(
        f"select {number} as place, {delivery.receipt.seq} as seq, {text(outcome.reason)} as reason,"
        f" {text(outcome.error)} as error, {text(outcome.detail)} as detail,"
        f" {executions(delivery, outcome.reason)} as attempts"
        for number, (delivery, outcome) in enumerate(dead)
    )
    return (
        f"replace into {tables.dead} (queue, id, body, reason, error, detail, attempts, died_at)"
        f" select task.queue, task.id, task.body, letter.reason, letter.error, letter.detail, letter.attempts, @now"
        f" from ({letters}) as letter straight_join {tables.tasks} as task force index (primary)"
        f" on task.seq = letter.seq where {ours([delivery.receipt for delivery, _ in dead])} order by letter.place"
    )

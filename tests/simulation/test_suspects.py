from __future__ import annotations

import asyncio
from functools import partial

from tests.simulation.bench import Bench, Hired, limited, slow, virtual
from tests.simulation.server import Row, Server
from tests.simulation.tasks import killer, plain


async def lost_once(bench: Bench) -> None:
    """`innocent` has lost one of its two lives."""
    await bench.put(plain.using(max_attempts=2), "innocent", args=[5.0])
    dead = bench.hire("dead", visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("innocent"), 1.0)
    dead.process.crash()


def over(bench: Bench, worker: Hired) -> bool:
    return worker.process.dead or "innocent" in bench.ledger.ends


async def runs_to_its_end(bench: Bench) -> None:
    number = 0
    while "innocent" not in bench.ledger.ends:
        number += 1
        worker = bench.hire(f"w{number}", concurrency=2, visibility_timeout=6.0)
        await bench.until(partial(over, bench, worker), 30.0)
    assert bench.ends("innocent") == ["done"]


@virtual
async def test_a_suspect_is_not_buried_for_a_killer_that_was_claimed_with_it() -> None:
    bench = Bench()
    await lost_once(bench)
    await asyncio.sleep(7.0)  # virtual: its lease ends
    await bench.put(killer.using(max_attempts=5), "killer", args=[0.1])
    await runs_to_its_end(bench)


@virtual
async def test_a_suspect_is_not_buried_for_a_killer_that_came_after_it() -> None:
    bench = Bench()
    await lost_once(bench)
    await bench.put(killer.using(max_attempts=5, delay=9.0), "killer", args=[0.1])
    await runs_to_its_end(bench)


@virtual
async def test_a_suspect_is_not_started_beside_a_killer_that_runs_already() -> None:
    bench = Bench()
    await lost_once(bench)
    await bench.put(killer.using(max_attempts=5, delay=5.0), "killer", args=[3.0])
    await runs_to_its_end(bench)


@virtual
async def test_a_suspect_is_not_buried_for_a_killer_that_came_before_its_outcome_was_written() -> None:
    bench = Bench()
    await lost_once(bench)
    await asyncio.sleep(7.0)  # virtual: its lease ends
    bench.network.next["settle"] = [slow(out=2.0)]
    worker = bench.hire("heir", visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("innocent")[-1].end == "returned", 20.0)
    await bench.put(killer.using(max_attempts=1), "killer", args=[0.1])
    await bench.until(lambda: worker.process.dead, 20.0)
    assert bench.ends("innocent") == ["done"]


@virtual
async def test_a_burst_runs_a_suspect_that_it_gave_back_while_another_one_ran() -> None:
    await burst_with_two_suspects(late=0.0)


@virtual
async def test_a_burst_waits_for_what_it_gave_back_where_delays_end_late() -> None:
    await burst_with_two_suspects(late=0.4)  # as on RabbitMQ, whose delays come in steps


class Tardy(Server):
    """Whose delays end so many seconds late."""

    late = 0.0

    def _release(self, row: Row, delay: float) -> None:
        super()._release(row, delay + (self.late if delay else 0.0))


async def burst_with_two_suspects(late: float) -> None:
    bench = Bench(limits=limited(poll=0.5))
    bench.server = Tardy()
    bench.server.late = late
    await bench.put(plain.using(max_attempts=2), "first", args=[36.0])  # longer than what is given back stays away
    await bench.put(plain.using(max_attempts=2), "second", args=[1.0])
    dead = bench.hire("dead", concurrency=2, visibility_timeout=6.0)
    await bench.until(lambda: bench.runs("first") and bench.runs("second"), 1.0)
    dead.process.crash()
    await asyncio.sleep(7.0)  # virtual: their leases end
    await bench.hire("heir", burst=True, visibility_timeout=6.0).ended(60.0)
    assert bench.ends("first", "second") == ["done", "done"]
    await dead.bury()


@virtual
async def test_nothing_is_claimed_ahead_while_what_a_dead_worker_held_comes_back() -> None:
    bench = Bench()
    await bench.put(plain, *(f"n{number}" for number in range(300)), args=[0.0005])
    dead = bench.hire("dead", concurrency=1, visibility_timeout=6.0)
    await bench.until(lambda: len(bench.server.rows) < 200, 5.0)
    dead.process.crash()
    held = [row for row in bench.server.rows.values() if row.token is not None]
    assert len(held) > 10
    for row in list(bench.server.rows.values()):
        if row not in held:
            bench.server.rows.pop((row.message.queue, row.message.id))
    heir = bench.hire("heir", concurrency=1)
    await bench.until(lambda: not bench.server.rows, 20.0)
    assert max(bench.calls(heir, "dequeue")) == 1
    await heir.retire()

"""What is enqueued in a seeded world: calls of every kind, and what must become of each."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from asyncdq import Task

from . import tasks
from .records import Promise

QUEUES = ("high", "low")
DONE = frozenset({"done"})


@dataclass(frozen=True, slots=True)
class Job:
    """A call to be enqueued at a time, and what must become of it."""

    id: str
    at: float
    call: Task[..., Any, Any]
    args: tuple[Any, ...]
    promise: Promise


def _kinds(rng: random.Random, id: str) -> tuple[Task[..., Any, Any], tuple[Any, ...], Promise]:
    choices: list[tuple[Task[..., Any, Any], tuple[Any, ...], Promise]] = [
        (tasks.plain, (), Promise(DONE, 4)),
        (tasks.plain, (rng.uniform(0.001, 3.0),), Promise(DONE, 4)),
        (tasks.plain, (rng.uniform(10.0, 200.0),), Promise(DONE, 4)),
        (tasks.failing, (rng.randint(1, 3), rng.choice([0.0, 0.5])), Promise(DONE, 4)),
        (tasks.failing, (9,), Promise(frozenset({"attempts"}), 4)),
        (tasks.snoozing, (rng.randint(1, 6), rng.uniform(0.0, 5.0)), Promise(DONE, 4)),
        (tasks.retrying, (rng.uniform(0.0, 2.0),), Promise(frozenset({"attempts"}), 4)),
        (tasks.rejecting, (), Promise(frozenset({"rejected"}), 4)),
        (tasks.picky, (), Promise(frozenset({"not_retried"}), 4)),
        (tasks.despairing, (), Promise(frozenset({"rejected"}), 4)),
        (tasks.endless, (), Promise(frozenset({"attempts"}), 4)),
        (tasks.stubborn, (rng.uniform(3.0, 30.0),), Promise(DONE, 4, stubborn=True)),
        (tasks.exiting, (), Promise(frozenset({"attempts"}), 4)),
        (tasks.parent, (f"{id}c",), Promise(DONE, 4)),
    ]
    weights = [8, 6, 3, 3, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2]
    return rng.choices(choices, weights)[0]


def job(rng: random.Random, number: int) -> Job:
    """One call of any kind but a killer."""
    id = f"t{number}"
    call, args, promise = _kinds(rng, id)
    return Job(id, _moment(rng), _placed(rng, call, id), args, promise)


def dangerous_job(rng: random.Random, number: int, most: int, killer: bool) -> Job:
    """The same for a world with killers, in which every task may be lost `most` times before it is buried."""
    made = job(rng, number)
    call, args, promise = made.call, made.args, made.promise._replace(max_attempts=most)
    if killer:
        call, args = _placed(rng, tasks.killer, made.id), (rng.choice([0.0, 0.3, 5.0]),)
        promise = Promise(frozenset({"lost"}), most)
    elif call.name == tasks.failing.name and promise.ends == DONE:
        args = (most - 1,)
    return replace(made, call=call.using(max_attempts=most), args=args, promise=promise)


def _moment(rng: random.Random) -> float:
    return 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 30.0)


def _placed(rng: random.Random, call: Task[..., Any, Any], id: str) -> Task[..., Any, Any]:
    delay = rng.uniform(0.01, 15.0) if rng.random() < 0.2 else 0.0
    lease = rng.choice([4.0, 9.0, 30.0, 300.0]) if rng.random() < 0.2 else None
    return call.using(id=id, queue=rng.choice(QUEUES), delay=delay, visibility_timeout=lease)

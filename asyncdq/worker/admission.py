"""Whether a delivery can be run, and if not, what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..envelope import decode
from ..errors import NewerEnvelope, UndecodableBody, UnknownTask
from ..message import Dead, Delivery
from ..retry import bury, decide, one_line
from .crew import Crew
from .job import Verdict
from .plan import Planner
from .run import Run


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that cannot be run, and its outcome; `task` is its name if that could be read."""

    task: str
    verdict: Verdict


def admit(delivery: Delivery, crew: Crew, position: int, claimed_at: float, lease: float) -> Run | Refusal:
    """The delivery as a run; or its outcome, if its body or task is unknown here or it was lost too often.

    With a keyring nothing is read, not even the envelope, of what is not signed with one of its keys.
    """
    planner, keyring = crew.planner, crew.keyring
    if keyring is not None and (text := keyring.refusal(delivery.id, delivery.queue, delivery.body)):
        return Refusal("?", Verdict(Dead("unsigned", text), text))
    try:
        envelope = decode(delivery.body)
    except UndecodableBody as error:
        return Refusal("?", Verdict(bury("undecodable", error), one_line(error)))
    except NewerEnvelope as error:
        return Refusal("?", _unknown(error, delivery, planner))
    try:
        plan = planner.plan(envelope)
    except UnknownTask as error:
        return Refusal(envelope.task, _unknown(error, delivery, planner))
    if delivery.lost >= plan.policy.max_attempts:
        text = _losses(delivery.lost)
        return Refusal(envelope.task, Verdict(Dead("lost", text), text))
    return Run(delivery, envelope, plan, position, claimed_at, lease)


def _losses(lost: int) -> str:
    if lost == 1:
        return "the worker that held it died or lost its lease"
    return f"{lost} workers in a row died or lost their lease while they held it"


def _unknown(error: Exception, delivery: Delivery, planner: Planner) -> Verdict:
    """A failed attempt: during a rolling deploy, another worker may know the task."""
    outcome = decide(error, delivery.attempt, planner.policy)
    if isinstance(outcome, Dead):
        outcome = bury("unknown", error)
    return Verdict(outcome, one_line(error))

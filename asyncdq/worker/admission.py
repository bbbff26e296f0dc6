"""Whether a delivery can be run, and if not, what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..envelope import decode
from ..errors import NewerEnvelope, UndecodableBody, UnknownTask
from ..message import Dead, Delivery, Outcome
from ..retry import bury, decide, describe, one_line
from .crew import Crew
from .job import Verdict
from .plan import Planner
from .run import Run


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that cannot be run, and its outcome; `task` is its name if that could be read, else "?"."""

    delivery: Delivery
    task: str
    verdict: Verdict
    max_attempts: int | None = None  # of a task that is known here


def admit(delivery: Delivery, crew: Crew, position: int, claimed_at: float, lease: float) -> Run | Refusal:
    """The delivery as a run; or its outcome, if its body or task is unknown here or it was lost too often.

    With a keyring nothing is read, not even the envelope, of what is not signed with one of its keys.
    """
    planner, keyring = crew.planner, crew.keyring
    if keyring is not None and (text := keyring.refusal(delivery.id, delivery.queue, delivery.body)):
        return Refusal(delivery, "?", Verdict(Dead("unsigned", text), text))
    try:
        envelope = decode(delivery.body)
    except UndecodableBody as error:
        return Refusal(delivery, "?", Verdict(bury("undecodable", error), one_line(error)))
    except NewerEnvelope as error:
        return Refusal(delivery, "?", _unknown(error, delivery, planner))
    try:
        plan = planner.plan(envelope)
    except UnknownTask as error:
        return Refusal(delivery, envelope.task, _unknown(error, delivery, planner))
    except Exception as error:  # a definition or a call that nobody has refused before: it must not end the worker
        verdict = Verdict(_failed(error, delivery, planner), one_line(error), traceback=describe(error))
        return Refusal(delivery, envelope.task, verdict)
    if delivery.lost >= plan.policy.max_attempts:
        text = _losses(delivery.lost)
        return Refusal(delivery, envelope.task, Verdict(Dead("lost", text), text), plan.policy.max_attempts)
    return Run(delivery, envelope, plan, position, claimed_at, lease)


def _losses(lost: int) -> str:
    if lost == 1:
        return "the worker that held it died or lost its lease"
    return f"{lost} workers in a row died or lost their lease while they held it"


def _unknown(error: Exception, delivery: Delivery, planner: Planner) -> Verdict:
    """A failed attempt: during a rolling deploy, another worker may know the task."""
    outcome = _failed(error, delivery, planner)
    if isinstance(outcome, Dead):
        outcome = bury("unknown", error)
    return Verdict(outcome, one_line(error))


def _failed(error: Exception, delivery: Delivery, planner: Planner) -> Outcome:
    """By the worker's policy for attempts and pauses: which errors a task is worth repeating for says nothing here."""
    return decide(error, delivery.attempt, replace(planner.policy, retry_on=(Exception,), give_up_on=()))

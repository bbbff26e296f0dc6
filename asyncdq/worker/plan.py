"""How a task is to be run: its own definition, what its call asks for, and the worker's defaults, merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..arguments import Fitter, fitter
from ..envelope import Envelope
from ..errors import UnknownTask
from ..retry import RetryPolicy
from ..task import Task
from ..tasks import registry
from .log import log

OVERRIDES = ("max_attempts", "retry_delay", "timeout", "visibility_timeout")  # what a call may ask for
MOST_KEPT = 1_000  # plans of calls that ask for something


@dataclass(frozen=True, slots=True)
class Plan:
    """How one delivery is run. Seconds; `lease` is its visibility timeout, `fit` restores annotated types."""

    task: Task[..., Any, Any]
    policy: RetryPolicy
    timeout: float | None
    lease: float
    coroutine: bool
    fit: Fitter | None


class Planner:
    """Makes plans, one per task and set of per-call options.

    `hold` is the longest that the backend lets one delivery be held: no timeout is longer. `attempts_cap` is
    the highest `max_attempts` of any task.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        timeout: float | None,
        lease: float,
        hold: float | None,
        attempts_cap: int | None = None,
    ) -> None:
        self._attempts_cap = attempts_cap
        self.policy = replace(policy, max_attempts=self._at_most(policy.max_attempts))
        self._timeout = timeout
        self._lease = lease
        self._hold = hold
        self._plans: dict[str, Plan] = {}
        self._overridden: dict[tuple[Any, ...], Plan] = {}

    def plan(self, envelope: Envelope) -> Plan:
        """The plan for this message. Raises UnknownTask."""
        plan = self._plans.get(envelope.task)
        task = registry().get(envelope.task)
        if task is None:
            raise UnknownTask(
                f"no task is named {envelope.task!r} here: start the worker with the module that defines it "
                "(asyncdq worker MODULE)"
            )
        if plan is None or plan.task is not task:  # a module may be reloaded
            plan = self._plans[envelope.task] = self._of(task)
        options = envelope.options
        return plan if len(options) == ("enqueued_at" in options) else self._override(plan, options)

    def _of(self, task: Task[..., Any, Any]) -> Plan:
        policy = RetryPolicy(
            max_attempts=self._at_most(_either(task.max_attempts, self.policy.max_attempts)),
            delay=_either(task.retry_delay, self.policy.delay),
            strategy=_either(task.retry_strategy, self.policy.strategy),
            max_delay=_either(task.retry_max_delay, self.policy.max_delay),
            jitter=_either(task.retry_jitter, self.policy.jitter),
            retry_on=_either(task.retry_on, self.policy.retry_on),
            give_up_on=_either(task.give_up_on, self.policy.give_up_on),
        )
        timeout = self._capped(task.name, _either(task.timeout, self._timeout))
        lease = _either(task.visibility_timeout, self._lease)
        return Plan(task, policy, timeout, lease, task.is_coroutine, None if task.process else fitter(task.function))

    def _override(self, plan: Plan, options: Mapping[str, Any]) -> Plan:
        """The plan of a call that asks for something: made once for all that ask for the same."""
        asked = (plan.task.name, *map(options.get, OVERRIDES))
        made = self._overridden.get(asked)
        if made is None or made.task is not plan.task:
            if len(self._overridden) >= MOST_KEPT:
                self._overridden.clear()
            made = self._overridden[asked] = self._changed(plan, options)
        return made

    def _changed(self, plan: Plan, options: Mapping[str, Any]) -> Plan:
        policy = replace(
            plan.policy,
            max_attempts=self._at_most(options.get("max_attempts", plan.policy.max_attempts)),
            delay=options.get("retry_delay", plan.policy.delay),
        )
        timeout = self._capped(plan.task.name, options.get("timeout", plan.timeout))
        return replace(plan, policy=policy, timeout=timeout, lease=options.get("visibility_timeout", plan.lease))

    def _at_most(self, max_attempts: int) -> int:
        return max_attempts if self._attempts_cap is None else min(max_attempts, self._attempts_cap)

    def _capped(self, name: str, timeout: float | None) -> float | None:
        if self._hold is None or (timeout is not None and timeout <= self._hold):
            return timeout
        asked = "no timeout" if timeout is None else f"a timeout of {timeout:g} s"
        log.warning("%s has %s; this backend holds a task for %g s at most: it is ended then", name, asked, self._hold)
        return self._hold


def _either(own: Any, default: Any) -> Any:
    return default if own is None else own

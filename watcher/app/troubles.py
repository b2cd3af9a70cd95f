"""What operators must hear of: where the daemon itself fails, gathered for `alerts.blind`, which decides.

Nothing here decides what is a page. A rule that crashes is known by a count that grows (`Engine.stats`), so what is
remembered is when it last grew. It is over once every query of its account was answered without a further crash: which
of them a rule needs is the rule's own business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watcher.alerts.blind import RULE_CRASHED, RuleSight, TargetSight
from watcher.alerts.outbox import Outbox
from watcher.app.account import AccountLoop
from watcher.model import State, Transition


def target_sights(outboxes: Iterable[Outbox]) -> list[TargetSight]:
    """How each target takes messages."""
    return [
        TargetSight(
            target=stats.target,
            failing_since=stats.failing_since,
            waiting=stats.open,
            hung=stats.hung,
            worked=stats.sent > 0,
        )
        for stats in (outbox.stats() for outbox in outboxes)
    ]


@dataclass(slots=True)
class _Crash:
    """`since` is None once the rule was judged again."""

    count: int = 0
    since: float | None = None
    latest: float = 0.0


class Crashes:
    """Which rules crash, for one configuration: mutable, asked every few seconds."""

    def __init__(self) -> None:
        self._crashes: dict[tuple[str, str], _Crash] = {}
        self._loops: dict[str, AccountLoop] = {}

    def sights(
        self,
        loops: Mapping[str, AccountLoop],
        providers: Mapping[str, str],
        rules: Iterable[str],
        own: Mapping[str, Transition],
        now: float,
    ) -> list[RuleSight]:
        """Every rule that crashes, and those that operators were told of, as far as account and rule still exist."""
        for account, loop in loops.items():
            self._note(account, loop, now)
        told = {
            (entry.labels["account"], entry.labels["rule_name"])
            for entry in own.values()
            if entry.rule == RULE_CRASHED and entry.state is State.FIRING
        }
        known = set(rules)
        return [
            RuleSight(
                account=account,
                provider=providers[account],
                rule=rule,
                crashing_since=self._crashes.get((account, rule), _Crash()).since,
                judged=account in loops and _answered_since(loops[account]) is not None,
            )
            for account, rule in sorted(told | self._crashes.keys())
            if account in providers and rule in known
        ]

    def _note(self, account: str, loop: AccountLoop, now: float) -> None:
        own = {rule: crash for (name, rule), crash in self._crashes.items() if name == account}
        if self._loops.get(account) is not loop:  # the account's task began anew, and its counts with it
            self._loops[account] = loop
            for crash in own.values():
                crash.count = 0
        answered = _answered_since(loop)
        for crash in own.values():
            if answered is not None and answered > crash.latest:
                crash.since = None
        for rule, count in loop.engine.stats.crashes.items():
            crash = self._crashes.setdefault((account, rule), _Crash())
            if count > crash.count:
                crash.count, crash.latest = count, now
                crash.since = now if crash.since is None else crash.since


def _answered_since(loop: AccountLoop) -> float | None:
    """The instant since which every query was answered; None where one was not, since the start or just now."""
    looks = [None if state.failures else state.last_look for state in loop.states]
    known = [at for at in looks if at is not None]
    return min(known) if known and len(known) == len(looks) else None

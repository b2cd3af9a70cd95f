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
    """Which rules crash, for one configuration: mutable, told every few seconds."""

    def __init__(self) -> None:
        self._crashes: dict[tuple[str, str], _Crash] = {}
        self._lives: dict[str, object] = {}

    def note(self, account: str, life: object, counts: Mapping[str, int], answered: float | None, now: float) -> None:
        """How often each rule has crashed in this life of the account's task, and since when all was answered."""
        own = {rule: crash for (name, rule), crash in self._crashes.items() if name == account}
        if self._lives.get(account) is not life:  # begun anew, and its counts with it
            self._lives[account] = life
            for crash in own.values():
                crash.count = 0
        for rule, count in counts.items():
            crash = self._crashes.setdefault((account, rule), _Crash())
            if count > crash.count:
                crash.count, crash.latest = count, now
                crash.since = now if crash.since is None else crash.since
        for crash in own.values():
            if answered is not None and answered > crash.latest:
                crash.since = None

    def known(self) -> set[tuple[str, str]]:
        """Account and rule of every crash so far."""
        return set(self._crashes)

    def since(self, account: str, rule: str) -> float | None:
        """Since when a rule crashes; None where it does not."""
        crash = self._crashes.get((account, rule))
        return crash.since if crash is not None else None


def rule_sights(
    crashes: Crashes,
    loops: Mapping[str, AccountLoop],
    providers: Mapping[str, str],
    rules: Iterable[str],
    own: Mapping[str, Transition],
    now: float,
) -> list[RuleSight]:
    """Every rule that crashes, and those that operators were told of, as far as account and rule still exist."""
    answered = {account: _answered_since(loop) for account, loop in loops.items()}
    for account, loop in loops.items():
        crashes.note(account, loop, loop.engine.stats.crashes, answered[account], now)
    told = {
        (entry.labels["account"], entry.labels["rule_name"])
        for entry in own.values()
        if entry.rule == RULE_CRASHED and entry.state is State.FIRING
    }
    configured = set(rules)
    return [
        RuleSight(
            account=account,
            provider=providers[account],
            rule=rule,
            crashing_since=crashes.since(account, rule),
            judged=answered.get(account) is not None,
        )
        for account, rule in sorted(told | crashes.known())
        if account in providers and rule in configured
    ]


def _answered_since(loop: AccountLoop) -> float | None:
    """The instant since which every query was answered; None where one was not, since the start or just now."""
    looks = [None if state.failures else state.last_look for state in loop.states]
    known = [at for at in looks if at is not None]
    return min(known) if known and len(known) == len(looks) else None

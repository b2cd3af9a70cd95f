"""One alert: where it stands, what was said of it, and how the two are kept in step (invariant 3).

An alert keeps a *mark* (where its settled timeline stood some time ago, before anything that may still be revised) and
the *tail* of what was emitted since. Every evaluation judges again from the mark, as if for the first time, and
compares: more than was said is said now; other than was said is corrected by one entry that voids the rest of the tail.
There is no second, incremental way to judge, so a late point, a revised point, a restart and a backtest take the same
path. Judging only what is new was considered: it saves the microseconds that a frame of an hour costs, and needs its
own proof for each way in which history can change under it.

While a `require` is unknown the verdict is undecided (design, section 5): what would begin there is held back until
the companion is known or has been waited for long enough. The settled timeline itself takes unknown as met, so a
companion that comes later and says no is a revision like any other. In the same way what hangs on a side of a joined
rule that was not asked yet is held back, but only where something would be said because of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from watcher.model import Cause, Labels, Series, Span, State, alert_id
from watcher.rules.frame import Frame
from watcher.rules.ground import Await, Condition, Ground
from watcher.rules.rule import NO_DATA_REASON, Rule
from watcher.rules.settings import Judging
from watcher.rules.timeline import Entry, Mark, Timers, Track, advance


@dataclass(slots=True, kw_only=True)
class Alert:
    """One rule for one label set; or its companion that says that data stopped (`silence`). Owned by the engine."""

    rule: Rule
    series: Series
    silence: bool
    labels: Labels
    id: str
    key: str  # what the verdicts depend on: `Rule.judging_key`
    mark: Mark
    seq: int = 0
    base: Entry | None = None  # the entry in force at the mark, as emitted
    tail: tuple[Entry, ...] = ()  # emitted after the mark
    waived: int = 0  # event time up to which an unknown `require` counts as met
    undecided_since: float | None = None  # run clock from which the verdict has been waiting for something unknown
    awaits: tuple[Await, ...] = ()  # what it waits for
    holes: tuple[Span, ...] = ()  # windows after the mark that nobody answered for
    saved: bool = False  # its memory was handed out at least once

    @property
    def head(self) -> Entry | None:
        """The newest entry that stands, as emitted."""
        return self.tail[-1] if self.tail else self.base

    @property
    def state(self) -> State:
        """The state as emitted."""
        head = self.head
        return head.state if head is not None else State.INACTIVE

    def timers(self, forget_after: int) -> Timers:
        """The rule's timers; a companion alert has only the one of `no_data`."""
        if self.silence:
            return Timers(hold=self.rule.no_data_after or 0, clear=0, keep=0, forget=forget_after)
        rule = self.rule
        return Timers(hold=rule.hold, clear=rule.clear_for, keep=rule.keep_firing_for, forget=forget_after)

    def rebase(self, at: int, width: int) -> None:
        """Judge from event time `at` on, from the state as emitted: the rule, or the time, means something else now."""
        head = self.head
        self.base, self.tail = head, ()
        self.waived, self.undecided_since, self.awaits = at, None, ()
        if head is None:
            self.mark = Mark(at)
            return
        held = max(at - head.starts_at, 0) // width if head.state is State.PENDING else 0
        self.mark = Mark(
            at,
            head.state,
            entered=min(head.at, at),
            since=min(head.starts_at, at),
            held=held,
            peak=head.peak,
            unguarded=head.unguarded,
            last=at,
        )


def labels_of(rule: Rule, series: Series, *, silence: bool) -> dict[str, str]:
    """The fingerprint labels: the series' own, the rule's, and the reason where data stopped."""
    labels = {**series.labels(), **rule.labels}
    return {**labels, "reason": NO_DATA_REASON} if silence else labels


def new_alert(rule: Rule, series: Series, *, silence: bool, after: int) -> Alert:
    """An alert that has said nothing, judged from event time `after` on."""
    labels = labels_of(rule, series, silence=silence)
    return Alert(
        rule=rule,
        series=series,
        silence=silence,
        labels=labels,
        id=alert_id(rule.name, labels),
        key=rule.judging_key(no_data=silence),
        mark=Mark(after),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One entry to emit. `retracts` voids what was emitted from that event time on."""

    entry: Entry
    retracts: int | None = None


def judge(alert: Alert, ground: Ground, *, decided: int, now: float, settings: Judging) -> list[Change]:
    """Judge from the alert's mark to the ground's end, move the mark up to `decided`, and say what is to be emitted."""
    if ground.until <= alert.mark.at:
        return []
    timers = alert.timers(settings.forget_after)
    if alert.silence:
        assert isinstance(ground, Frame)  # only a rule of one series has such an alert
        condition = None
        track = ground.silence_track(alert.rule, alert.mark.at)
    else:
        first = ground.position(alert.mark.at)
        condition = ground.condition(alert.rule, first)
        track = ground.threshold_track(alert.rule, condition, first)
    track = replace(track, clear=cache(track.clear))
    firm, mark = _advanced(timers, track, alert.mark, decided)
    rest, _ = advance(timers, track.after(mark.at), mark, ground.until)
    settled = [*firm, *rest]
    upto = ground.until
    if condition is not None:
        waits = _first_wait(alert, ground, condition, track, timers, settled)
        upto = _decided_until(alert, ground, waits, now, settings.undecided_for)
    said = [entry for entry in spoken(settled, silence=alert.silence) if entry.at <= upto]
    changes = _compare(alert, said, upto)
    if changes is not None:
        alert.tail = tuple(said)
    if upto < decided:
        firm, mark = _advanced(timers, track, alert.mark, upto)
    _move_mark(alert, mark, firm)
    return changes or []


def _advanced(timers: Timers, track: Track, mark: Mark, to: int) -> tuple[list[Entry], Mark]:
    """The entries up to `to` and the mark there, which never goes back."""
    return advance(timers, track.until(to), mark, to) if to > mark.at else ([], mark)


def spoken(entries: Sequence[Entry], *, silence: bool) -> list[Entry]:
    """The entries that are emitted. A companion alert is never pending: every window left out would make it so."""
    if not silence:
        return list(entries)
    return [
        e._replace(cause=Cause.NO_DATA if e.cause is Cause.THRESHOLD else e.cause)
        for e in entries
        if e.state is State.FIRING or e.state is State.RESOLVED
    ]


@dataclass(frozen=True, slots=True)
class _Wait:
    """A window whose verdict waits for something unknown, and the event time from which nothing is said meanwhile."""

    window: int
    since: int


def _decided_until(alert: Alert, ground: Ground, waits: _Wait | None, now: float, patience: float) -> int:
    """The event time up to which the verdict is decided: before what waits, unless that was waited for long enough."""
    if waits is None:
        alert.undecided_since, alert.awaits = None, ()
        return ground.until
    if alert.undecided_since is None or now < alert.undecided_since:  # a clock may step back: never wait for longer
        alert.undecided_since = now
    if now - alert.undecided_since >= patience:
        alert.waived, alert.undecided_since, alert.awaits = ground.until, None, ()
        return ground.until
    alert.awaits = ground.awaited(alert.rule, waits.window)
    return waits.since - ground.width


def _first_wait(
    alert: Alert, ground: Ground, condition: Condition, track: Track, timers: Timers, settled: Sequence[Entry]
) -> _Wait | None:
    """The first window that could begin something, or in which something would be said, because of what is unknown."""
    begins = _first_beginning(alert, condition, settled)
    doubt = _first_doubt(alert, ground, condition, track, timers, settled)
    found = [wait for wait in (None if begins is None else _Wait(begins, begins), doubt) if wait is not None]
    return min(found, key=lambda wait: wait.since, default=None)


def _first_beginning(alert: Alert, condition: Condition, settled: Sequence[Entry]) -> int | None:
    """Event time of the first undecided window in which something could begin. While firing nothing does."""
    for at in condition.begins[condition.begins > alert.waived].tolist():
        state = alert.mark.state
        for entry in settled:
            if entry.at >= at:
                break
            state = entry.state
        if state is not State.FIRING:
            return int(at)
    return None


def _first_doubt(
    alert: Alert, ground: Ground, condition: Condition, track: Track, timers: Timers, settled: Sequence[Entry]
) -> _Wait | None:
    """Where something would be said that would not be, were the windows in doubt missing, or neither met nor clear.

    What stands either way is said: at worst it turns out to have begun earlier.
    """
    doubts = condition.doubts[condition.doubts > alert.waived]
    if not len(doubts):
        return None
    others = [
        advance(timers, other, alert.mark, ground.until)[0] for other in (track.doubting(doubts), track.lacking(doubts))
    ]
    same = min(_agreeing(settled, other) for other in others)
    since = min((entry.at for entries in (settled, *others) for entry in entries[same : same + 1]), default=None)
    if since is None:
        return None
    changes = _compare(alert, settled, ground.until) or ()
    if not any(c.entry.at >= since or (c.retracts is not None and c.retracts >= since) for c in changes):
        return None
    agreed = settled[same - 1].at if same else alert.mark.at
    between = doubts[(doubts > agreed) & (doubts <= since)]
    return _Wait(int(between[0]) if len(between) else int(doubts[0]), since)


def _agreeing(settled: Sequence[Entry], other: Sequence[Entry]) -> int:
    """How many entries two timelines have in common before they part."""
    same = 0
    for one, two in zip(settled, other, strict=False):
        if (one.at, one.state) != (two.at, two.state):
            break
        same += 1
    return same


def _compare(alert: Alert, settled: Sequence[Entry], upto: int) -> list[Change] | None:
    """What to emit so that the fold of the log is `settled`, the timeline after the mark up to event time `upto`.

    None where the alert has spoken of later times than `upto` and nothing before contradicts it: the verdict waits
    again, since points were revised, and what was said stands until it is decided.
    """
    same = 0
    for old, new in zip(alert.tail, settled, strict=False):
        if (old.at, old.state) != (new.at, new.state):
            break
        same += 1
    if same == len(alert.tail):
        return [Change(entry) for entry in settled[same:]]
    void = alert.tail[same].at
    if same == len(settled):
        if void > upto:
            return None
        stands = settled[same - 1] if same else alert.base
        if stands is None:
            stands = Entry(void, State.INACTIVE, void, Cause.REVISED, None, unguarded=False)
        return [Change(stands._replace(cause=Cause.REVISED), void)]
    first = settled[same]._replace(cause=Cause.REVISED)
    return [Change(first, min(void, first.at)), *(Change(entry) for entry in settled[same + 1 :])]


def _move_mark(alert: Alert, mark: Mark, firm: Sequence[Entry]) -> None:
    """Decide for good what lies before `mark`, where `firm` happened: it can no longer be revised."""
    if mark.at <= alert.mark.at:
        return
    past = spoken(firm, silence=alert.silence)
    alert.mark = mark
    alert.base = past[-1] if past else alert.base
    alert.tail = tuple(entry for entry in alert.tail if entry.at > mark.at)


def skip(alert: Alert, to: int) -> bool:
    """Move the mark of an alert in whose frame nothing can begin or end; True where it moved."""
    if to <= alert.mark.at:
        return False
    alert.mark = replace(alert.mark, at=to)
    return True

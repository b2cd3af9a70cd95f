"""An alert's memory as JSON: what is written with its transitions and read after a restart.

A body holds exactly what cannot be worked out again from the recorded points: the mark, what was said since, what is
being waited for, and which windows nobody answered for. Points themselves stay in the store. Bodies are written by us
but read from a disk: a body that does not fit is refused as a whole and the alert begins anew, rather than half-known.
A pydantic shape reads it, as everywhere text enters; `msgspec` would be quicker and is not needed for a few thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from watcher.model import Cause, Labels, SavedAlert, Series, Span, State, Transition
from watcher.rules.alert import Alert
from watcher.rules.timeline import Entry, Mark


class _Json(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Entry(_Json):
    at: int
    state: State
    starts_at: int
    cause: Cause
    peak: float | None
    unguarded: bool


class _Mark(_Json):
    at: int
    state: State
    entered: int
    since: int
    held: int
    peak: float | None
    unguarded: bool
    last: int
    falling: int | None
    cleared: int | None


class Body(_Json):
    """The body of a live alert."""

    v: Literal[1]
    rule: str
    series: tuple[str, str, str, str, str, str]
    silence: bool
    labels: dict[str, str]
    severity: str
    key: str
    seq: int
    mark: _Mark
    base: _Entry | None
    tail: tuple[_Entry, ...]
    waived: int
    undecided_since: float | None
    holes: tuple[tuple[int, int], ...]


class _Retired(_Json):
    v: Literal[1]
    retired: Literal[True]
    series: tuple[str, str, str, str, str, str]
    seq: int


@dataclass(frozen=True, slots=True)
class Retired:
    """An alert that no rule means any more. Its count of entries is kept, so that its log never repeats a number."""

    id: str
    rule: str
    series: Series
    seq: int

    def saved(self) -> SavedAlert:
        body = {"v": 1, "retired": True, "series": list(self.series), "seq": self.seq}
        return SavedAlert(alert_id=self.id, rule=self.rule, body=body)


def save(alert: Alert) -> SavedAlert:
    """The alert's memory."""
    return SavedAlert(
        alert_id=alert.id,
        rule=alert.rule.name,
        body={
            "v": 1,
            "rule": alert.rule.name,
            "series": list(alert.series),
            "silence": alert.silence,
            "labels": dict(alert.labels),
            "severity": alert.rule.severity,
            "key": alert.key,
            "seq": alert.seq,
            "mark": _mark_json(alert.mark),
            "base": None if alert.base is None else _entry_json(alert.base),
            "tail": [_entry_json(entry) for entry in alert.tail],
            "waived": alert.waived,
            "undecided_since": alert.undecided_since,
            "holes": [list(span) for span in alert.holes],
        },
    )


def _entry_json(entry: Entry) -> Mapping[str, object]:
    return {**entry._asdict(), "state": entry.state.value, "cause": entry.cause.value}


def _mark_json(mark: Mark) -> Mapping[str, object]:
    return {
        "at": mark.at,
        "state": mark.state.value,
        "entered": mark.entered,
        "since": mark.since,
        "held": mark.held,
        "peak": mark.peak,
        "unguarded": mark.unguarded,
        "last": mark.last,
        "falling": mark.falling,
        "cleared": mark.cleared,
    }


def read(saved: SavedAlert) -> Body | Retired | None:
    """A memory; None where it is not one that this version wrote."""
    try:
        if saved.body.get("retired"):
            retired = _Retired.model_validate(dict(saved.body))
            return Retired(saved.alert_id, saved.rule, Series(*retired.series), retired.seq)
        return Body.model_validate(dict(saved.body))
    except ValidationError:
        return None


def recall(alert: Alert, body: Body) -> None:
    """Put an alert back to where its memory says."""
    alert.mark = Mark(**body.mark.model_dump())
    alert.seq = body.seq
    alert.base = None if body.base is None else Entry(**body.base.model_dump())
    alert.tail = tuple(Entry(**entry.model_dump()) for entry in body.tail)
    alert.waived = body.waived
    alert.undecided_since = body.undecided_since
    alert.holes = tuple(Span(*span) for span in body.holes)
    alert.saved = True


def series_of(body: Body) -> Series:
    """The series that the alert judges."""
    return Series(*body.series)


@dataclass(frozen=True, slots=True)
class Last:
    """The newest that is known of an alert: from itself, from its memory, or from the log of what was said of it."""

    id: str
    rule: str
    series: Series
    labels: Labels
    severity: str
    seq: int
    head: Entry | None

    @classmethod
    def of(cls, alert: Alert) -> Last:
        """One that was there."""
        rule = alert.rule
        return cls(alert.id, rule.name, alert.series, alert.labels, rule.severity, alert.seq, alert.head)

    @classmethod
    def of_body(cls, identity: str, body: Body) -> Last:
        """One of which there is only the"""
        head = body.tail[-1] if body.tail else body.base
        entry = None if head is None else Entry(**head.model_dump())
        return cls(identity, body.rule, series_of(body), body.labels, body.severity, body.seq, entry)

    @classmethod
    def of_log(cls, log: Sequence[Transition]) -> Last | None:
        """One of which there is only what was said; None where nothing was."""
        standing: list[Transition] = []
        for entry in log:
            standing = [e for e in standing if entry.retracts is None or e.at < entry.retracts]
            standing.append(entry)
        if not standing:
            return None
        last = standing[-1]
        labels = last.labels
        account, provider, project, product, channel = (labels.get(name, "") for name in Series._fields[:5])
        head = Entry(last.at, last.state, last.starts_at, last.cause, last.peak, last.unguarded)
        series = Series(account, provider, project, product, channel, last.signal)
        seq = max(entry.seq for entry in log)
        return cls(last.alert_id, last.rule, series, labels, last.severity, seq, head)

"""The words of a message: what, where, since when, how bad, how many users, how old the data is, and what is over.

One list of lines is made from the transitions, then written twice, as plain text and as HTML, so that the two cannot
say different things. Every value goes through `neutral`, ours too: telling them apart would be one more thing to get
wrong. Templates per target were considered and left out: the rule's own `summary` is the part that teams word
themselves.

Text is capped so that chats take it whole (Slack's block holds 3,000 characters); what is cut is said. The most urgent
alerts come first, so the cut takes the least of them.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watcher.alerts import neutral
from watcher.clock import hhmm, rfc3339
from watcher.model import SIGNALS, Cause, Notification, Obligation, State, Transition, Unit

MAX_TITLE = 150
MAX_TEXT = 2900
MAX_HTML = 16_000
LATE = 1800.0  # seconds of data age from which a message says so itself

_MAX_LABELS = 12
_LIMITS = {"summary": 300, "description": 600}  # characters per value; labels and the rest have 120
_NOTE_ROOM = 80


class Kind(StrEnum):
    """What a message says of an alert; `DIGEST` is only a message's own kind, where several differ."""

    FIRING = "firing"
    RESOLVED = "resolved"
    WAS_FIRING = "was_firing"  # began and ended before anyone was told
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What one alert has to say to one target: one obligation, or beginning and end together."""

    kind: Kind
    obligations: tuple[Obligation, ...]

    @property
    def first(self) -> Transition:
        return self.obligations[0].transition

    @property
    def last(self) -> Transition:
        return self.obligations[-1].transition


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    kind: Kind
    title: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Line:
    """`name: value`; without a name, a headline. `href` is a link already found harmless."""

    name: str
    value: str
    href: str = ""


def compose(items: Sequence[Item], *, reference: str = "", durable: bool = True) -> Message:
    """The message for one or more alerts; `durable=False` says that the state could not record it.

    `reference` is the notification's id, the last line: a repeat of the message shows the same (invariant 5).
    """
    ordered = _by_urgency(items)
    kinds = {item.kind for item in ordered}
    blocks = [_lines(item) for item in ordered]
    if not durable:
        blocks[0].append(Line("note", "not durable: the state cannot be written, this may come twice or be forgotten"))
    return Message(
        kind=kinds.pop() if len(kinds) == 1 else Kind.DIGEST,
        title=_title(ordered),
        text=_write(blocks, _text, MAX_TEXT, reference),
        html=_write(blocks, _html, MAX_HTML, reference),
    )


def trial(target: str, at: float) -> Notification:
    """A message that says of itself that it is a test: for `watcher notify`."""
    lines = [Line("", "Test message"), Line("to", target), Line("sent", _when(at))]
    return Notification(
        id=f"test-{target}-{int(at)}",
        target=target,
        obligations=(),
        alerts=(),
        kind="test",
        title="[TEST] watcher can reach this target",
        text=_write([lines], _text, MAX_TEXT),
        html=_write([lines], _html, MAX_HTML),
        created_at=at,
    )


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _title(items: Sequence[Item]) -> str:
    """`[FIRING] VideoFreezing: classroom, Native`, or counts where several alerts share the message."""
    names = Counter(item.last.rule for item in items)
    where = {", ".join(_place(item.last)) for item in items}
    if len(items) == 1:
        head = _state_words(items[0])
    else:
        kinds = Counter(item.kind for item in items)
        head = ", ".join(f"{kinds[kind]} {_HEADS[kind]}" for kind in Kind if kinds[kind])
    rules = next(iter(names)) if len(names) == 1 else f"{len(names)} rules"
    place = where.pop() if len(where) == 1 else f"{len(where)} places"
    return f"[{head}] {neutral.plain(f'{rules}: {place}' if place else rules, MAX_TITLE)}"


_HEADS = {Kind.FIRING: "FIRING", Kind.RESOLVED: "RESOLVED", Kind.WAS_FIRING: "WAS FIRING"}


def _state_words(item: Item) -> str:
    if item.kind is Kind.WAS_FIRING:
        return f"WAS FIRING {_period(item.first.at, item.last.at)}, over"
    corrected = " (corrected)" if item.last.retracts is not None else ""
    return _HEADS[item.kind] + corrected


def _place(transition: Transition) -> list[str]:
    """The labels that tell a reader where, most telling first; the account where there is nothing else."""
    labels = transition.labels
    return [v for k in ("project", "product", "channel") if (v := labels.get(k))] or [labels.get("account", "")]


def _lines(item: Item) -> list[Line]:
    return [line for line in _all_lines(item) if line.value]


def _all_lines(item: Item) -> Iterator[Line]:
    last = item.last
    notes = last.annotations
    yield Line("", f"{_state_words(item)}: {last.rule} ({last.severity})")
    yield Line("summary", notes.get("summary", ""))
    yield Line("where", _where(last))
    yield from _when_lines(item)
    yield Line("value", _value(item))
    yield Line("users", f"{last.users:.0f}" if last.users is not None else "")
    yield Line("data", _age(last))
    yield Line("note", _marks(item))
    if item.kind in (Kind.FIRING, Kind.WAS_FIRING):
        yield Line("worst", item.first.annotations.get("worst", "") or notes.get("worst", ""))
    if item.kind is Kind.FIRING:
        yield Line("description", notes.get("description", ""))
    if href := neutral.link(notes.get("runbook", "")):
        yield Line("runbook", href, href)


def _where(transition: Transition) -> str:
    first = ["project", "product", "channel", "account", "provider"]
    names = [n for n in first if n in transition.labels] + sorted(transition.labels.keys() - set(first))
    told = [f"{_clip(name)} {_clip(transition.labels[name])}" for name in names if transition.labels[name]]
    more = f", and {len(told) - _MAX_LABELS} more labels" if len(told) > _MAX_LABELS else ""
    return ", ".join(told[:_MAX_LABELS]) + more


def _when_lines(item: Item) -> Iterator[Line]:
    """Event times in UTC. Where the condition began and when it had held for long enough differ, both are said."""
    first, last = item.first, item.last
    if item.kind is Kind.FIRING:
        fired = f", fired {_when(last.at)}" if last.at != last.starts_at else ""
        yield Line("since", _when(last.starts_at) + fired)
        return
    if last.state is not State.RESOLVED:  # taken back: no such episode is left to date
        yield Line("over", "the vendor revised its numbers: it was not so")
        return
    begun = first.at if item.kind is Kind.WAS_FIRING else last.starts_at
    yield Line("over", f"{_when(last.at)}, after {_span(last.at - begun)} ({_period(begun, last.at)})")
    yield Line("why", _ENDS.get(last.cause, ""))


_ENDS = {
    Cause.RULE_CHANGED: "the rule or its account was changed or removed",
    Cause.EXPIRED: "nothing was seen of it for so long that it is forgotten",
    Cause.REVISED: "the vendor revised its numbers",
}


def _value(item: Item) -> str:
    """`9.3%, limit 5%, worst 12%`"""
    last = item.last
    peaks = [t.peak for t in (item.first, last) if t.peak is not None]
    parts = [
        _number(last.value, last) if last.value is not None else "",
        f"limit {_number(last.threshold, last)}" if last.threshold is not None else "",
        f"worst {_number(peaks[-1], last)}" if peaks and peaks[-1] != last.value else "",
    ]
    return ", ".join(p for p in parts if p)


def _number(value: float, transition: Transition) -> str:
    """In the unit of the rule's signal; a bare number where that is not known."""
    info = SIGNALS.get(transition.signal)
    match info.unit if info else None:
        case Unit.RATIO:
            return f"{_short(value * 100)}%"
        case Unit.SECONDS:
            return f"{_short(value * 1000)} ms" if abs(value) < 1 else f"{_short(value)} s"
        case Unit.BYTES_PER_SECOND:
            return f"{_short(value / 1000)} kB/s"
    return _short(value)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.4g}"


def _age(transition: Transition) -> str:
    """How old the data was when it became known: the reader's way to tell a slow vendor from a slow page."""
    age = transition.known_at - transition.at
    if age < 1:
        return ""
    return f"{_span(age)} old when it became known" + (", late" if age > LATE else "")


def _marks(item: Item) -> str:
    marks = []
    if any(o.transition.unguarded for o in item.obligations):
        marks.append("unguarded: the companion signal that the rule requires is unknown")
    if item.kind is Kind.FIRING and item.last.retracts is not None:
        marks.append("corrected: the vendor revised its numbers, it fires after all")
    if item.last.cause is Cause.NO_DATA and item.kind is Kind.FIRING:
        marks.append("the vendor answers, with no data")
    return "; ".join(marks)


def _when(at: float) -> str:
    """`2026-01-31 10:02:20 UTC`"""
    return (rfc3339(int(at)) or "").replace("T", " ").replace("Z", " UTC")


def _period(start: float, end: float) -> str:
    """`10:02–10:09`, with dates where they differ."""
    days = (rfc3339(start) or "")[:10], (rfc3339(end) or "")[:10]
    if days[0] == days[1]:
        return f"{hhmm(start)}–{hhmm(end)}"
    return f"{days[0]} {hhmm(start)}–{days[1]} {hhmm(end)}"


def _span(seconds: float) -> str:
    """`95 s`, `12 min`, `3 h 20 min`"""
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


# ── how it is written ────────────────────────────────────────────────────────────────────────────────────────────────


def _by_urgency(items: Sequence[Item]) -> list[Item]:
    """Firing first, the most severe of them first; the items of one alert stay together, in order."""
    rank: dict[str, tuple[int, int]] = {}
    for item in items:
        severity = {"critical": 0, "warning": 1}.get(item.last.severity, 2)
        own = (0 if item.kind is Kind.FIRING else 1, severity)
        rank[item.last.alert_id] = min(own, rank.get(item.last.alert_id, own))
    return sorted(items, key=lambda item: (rank[item.last.alert_id], item.last.alert_id, item.last.seq))


def _write(blocks: Sequence[Sequence[Line]], form: Callable[[Line], str], limit: int, reference: str = "") -> str:
    """As many whole lines as fit, a note of what does not, and the reference."""
    kept: list[str] = []
    last = [form(Line("ref", reference))] if reference else []
    room = limit - _NOTE_ROOM - sum(map(len, last))
    for number, block in enumerate(blocks):
        for line in ([Line("", "")] if number else []) + list(block):
            written = form(line)
            if len(written) + 1 > room:
                left = len(blocks) - number
                note = f"cut: {left} more alerts" if left > 1 or not kept else "cut: the rest does not fit"
                return "\n".join([*kept, form(Line("", f"… ({note})")), *last])
            kept.append(written)
            room -= len(written) + 1
    return "\n".join([*kept, *last])


def _text(line: Line) -> str:
    if not line.value:
        return ""
    value = line.href or neutral.plain(line.value, _limit(line))
    return f"{line.name}: {value}" if line.name not in ("", "summary") else value


def _html(line: Line) -> str:
    if not line.value:
        return "<br>"
    value = neutral.markup(line.value, _limit(line))
    if line.href:
        return f'<a href="{html.escape(line.href)}">{line.name}</a><br>'
    if not line.name:
        return f"<b>{value}</b><br>"
    return f"{value}<br>" if line.name == "summary" else f"<i>{line.name}</i>: {value}<br>"


def _limit(line: Line) -> int:
    return _LIMITS.get(line.name, 1800 if line.name == "where" else 300)


def _clip(label: str) -> str:
    return neutral.clean(label, 120)

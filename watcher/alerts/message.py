"""The words of a message: what, where, since when, how bad, how many users, how old the data is, and what is over.

One list of lines is made from the transitions, then written as plain text, as HTML and, shorter, as the brief that
chats and telephones get, so that they cannot say different things. Every value goes through `neutral`, ours too:
telling them apart would be one more thing to get wrong. Templates per target were considered and left out: the rule's
own `summary` is the part that teams word themselves.

Text is capped so that chats take it whole (Slack's block holds 3,000 characters); what is cut is said. The most urgent
alerts come first, so the cut takes the least of them.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from watcher.alerts import neutral
from watcher.alerts.affected import AFFECTED
from watcher.alerts.wording import number, period, span, when
from watcher.clock import hhmm
from watcher.model import Cause, Notification, Obligation, State, Transition

MAX_TITLE = 150
MAX_TEXT = 2900
MAX_HTML = 16_000
MAX_BRIEF = 1200
LATE = 1800.0  # seconds of data age from which a message says so itself

_MAX_LABELS = 12
_LIMITS = {"summary": 300, "was": 300, "description": 600, "affected": 600}  # per value; labels and the rest have 120
_NOTE_ROOM = 80


class Kind(StrEnum):
    """What a message says of an alert; `DIGEST` is only a message's own kind, where several differ."""

    FIRING = "firing"
    UPDATE = "update"  # said before, and more is known of it
    STILL_FIRING = "still_firing"  # said before, and nobody has it in hand
    RESOLVED = "resolved"
    WAS_FIRING = "was_firing"  # began and ended before anyone was told
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What one alert has to say to one target: one obligation, or beginning and end together.

    `flaps` is how often it began lately, where that is too often; a `reminder` is about what is not new.
    """

    kind: Kind
    obligations: tuple[Obligation, ...]
    flaps: int = 0
    reminder: bool = False

    @property
    def first(self) -> Transition:
        return self.obligations[0].transition

    @property
    def last(self) -> Transition:
        return self.obligations[-1].transition

    @property
    def change(self) -> Transition:
        """The last entry that changed something; where there are only updates, the last of them."""
        changes = [o.transition for o in self.obligations if o.transition.updates is None]
        return changes[-1] if changes else self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known beside the transitions, as of now.

    `most_users` is the most users of an alert's incident; `unseen` maps an account to the daemon's own alert that says
    that it cannot be seen, while that fires.
    """

    most_users: Mapping[str, float] = field(default_factory=dict)
    unseen: Mapping[str, Transition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    kind: Kind
    title: str
    text: str
    html: str
    brief: str


@dataclass(frozen=True, slots=True)
class Line:
    """`name: value`; without a name, a headline. `href` is a link already found harmless."""

    name: str
    value: str
    href: str = ""


def compose(
    items: Sequence[Item],
    *,
    reference: str = "",
    durable: bool = True,
    full_until: float | None = None,
    known: Known = Known(),
) -> Message:
    """The message for one or more alerts; `durable=False` says that the state could not record it.

    `reference` is the notification's id, the last line: a repeat of the message shows the same (invariant 5).
    With `full_until` it is the last of its hour, and says so and when the next can come.
    """
    ordered = by_urgency(items)
    kinds = {item.kind for item in ordered}
    blocks = [_lines(item, known) for item in ordered]
    briefs = [_brief(item, known) for item in ordered]
    if not durable:
        note = Line("note", "not durable: the state cannot be written, this may come twice or be forgotten")
        blocks[0].append(note)
        briefs[0].append(note)
    if full_until is not None:
        cap = f"this target's messages of the hour are used up: more waits until {hhmm(full_until)} UTC"
        head = [Line("", f"Summary of {len(ordered)} alerts"), Line("note", cap)]
        blocks.insert(0, head)
        briefs.insert(0, head)
    return Message(
        kind=kinds.pop() if len(kinds) == 1 else Kind.DIGEST,
        title=_title(ordered),
        text=_write(blocks, _text, MAX_TEXT, reference),
        html=_write(blocks, _html, MAX_HTML, reference),
        brief=_write(briefs, _text, MAX_BRIEF, reference),
    )


def trial(target: str, at: float) -> Notification:
    """A message that says of itself that it is a test: for `watcher notify`."""
    lines = [Line("", "Test message"), Line("to", target), Line("sent", when(at))]
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


_HEADS = {
    Kind.FIRING: "FIRING",
    Kind.UPDATE: "UPDATE",
    Kind.STILL_FIRING: "STILL FIRING",
    Kind.RESOLVED: "RESOLVED",
    Kind.WAS_FIRING: "WAS FIRING",
}


def _state_words(item: Item) -> str:
    if item.kind is Kind.WAS_FIRING:
        return f"WAS FIRING {period(item.first.at, item.last.at)}, over"
    corrected = " (corrected)" if item.change.retracts is not None and not item.reminder else ""
    flapping = ", FLAPPING" if item.flaps else ""
    return _HEADS[item.kind] + corrected + flapping


def _place(transition: Transition) -> list[str]:
    """The labels that tell a reader where, most telling first; the account where there is nothing else."""
    labels = transition.labels
    return [v for k in ("project", "product", "channel") if (v := labels.get(k))] or [labels.get("account", "")]


def _lines(item: Item, known: Known) -> list[Line]:
    return [line for line in _all_lines(item, known) if line.value]


def _affected(item: Item) -> str:
    """Who is hurt, as far as that is known and this message is the first to say it or repeats the alert as it stands.

    An end has it from an update that was still to be said: then nobody had heard it.
    """
    said = (o.transition.annotations.get(AFFECTED, "") for o in reversed(item.obligations))
    return next(filter(None, said), "")


def _brief(item: Item, known: Known) -> list[Line]:
    """What is read on a locked telephone: what, how bad, for how many, since when, in which calls; how to act."""
    found = [line for line in _all_lines(item, known) if line.value]
    numbers = [f"{line.name} {line.value}" for line in found if line.name in ("value", "users", "since", "over")]
    where = [line for line in found if line.name == "where"]
    told = ("", "summary", "was", "affected", "note", "worst", "alert", "runbook", "why")
    kept = [line for line in found if line.name in told]
    late = [line for line in found if line.name == "data" and "late" in line.value]
    worded = any(line.name in ("summary", "was") for line in kept)
    head = [*kept[: 1 + worded], *(where if not worded else ())]
    return [*head, *([Line("", "; ".join(numbers))] if numbers else ()), *late, *kept[1 + worded :]]


def _all_lines(item: Item, known: Known) -> Iterator[Line]:
    last = item.last
    notes = last.annotations
    yield Line("", f"{_state_words(item)}: {last.rule} ({last.severity})")
    yield Line("was" if _was(last) else "summary", notes.get("summary", ""))
    yield Line("where", _where(last))
    yield Line("affected", _affected(item))
    yield from _when_lines(item)
    yield Line("value", _value(item))
    yield Line("users", _users(item, known.most_users.get(last.alert_id)))
    yield Line("data", _age(last))
    yield Line("note", _marks(item, known))
    if item.kind in _FIRES:
        yield Line("worst", item.first.annotations.get("worst", "") or notes.get("worst", ""))
        yield Line("alert", last.alert_id)
        yield Line("description", notes.get("description", ""))
    if href := neutral.link(notes.get("runbook", "")):
        yield Line("runbook", href, href)


def _was(transition: Transition) -> bool:
    """Whether the rule's words are about what is over: they are worded for a beginning, and hold its worst value."""
    return transition.state is State.RESOLVED and transition.cause in (Cause.THRESHOLD, Cause.REVISED)


def _where(transition: Transition) -> str:
    first = ["project", "product", "channel", "account", "provider"]
    names = [n for n in first if n in transition.labels] + sorted(transition.labels.keys() - set(first))
    told = [f"{_clip(name)} {_clip(transition.labels[name])}" for name in names if transition.labels[name]]
    more = f", and {len(told) - _MAX_LABELS} more labels" if len(told) > _MAX_LABELS else ""
    return ", ".join(told[:_MAX_LABELS]) + more


def _when_lines(item: Item) -> Iterator[Line]:
    """Event times in UTC. Where the condition began and when it had held for long enough differ, both are said."""
    first, last = item.first, item.last
    if item.kind in _FIRES:
        fired = f", fired {when(last.at)}" if last.at != last.starts_at else ""
        yield Line("since", when(last.starts_at) + fired)
        return
    if last.state is not State.RESOLVED:  # taken back: no such episode is left to date
        yield Line("over", "the vendor revised its numbers: it was not so")
        return
    begun = first.at if item.kind is Kind.WAS_FIRING else last.starts_at
    yield Line("over", f"{when(last.at)}, after {span(last.at - begun)} ({period(begun, last.at)})")
    yield Line("why", _ENDS.get(last.cause, ""))


_FIRES = (Kind.FIRING, Kind.UPDATE, Kind.STILL_FIRING)

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
        number(last.value, last.signal) if last.value is not None else "",
        f"normal {number(last.normal, last.signal)}" if last.normal is not None else "",
        f"limit {number(last.threshold, last.signal)}" if last.threshold is not None else "",
        f"worst {number(peaks[-1], last.signal)}" if peaks and peaks[-1] != last.value else "",
    ]
    return ", ".join(p for p in parts if p)


def _age(transition: Transition) -> str:
    """How old the data was when it became known: the reader's way to tell a slow vendor from a slow page."""
    age = transition.known_at - transition.at
    if age < 1:
        return ""
    why = transition.annotations.get("afterwards", "")
    return f"{span(age)} old when it became known" + (", late" if age > LATE else "") + (f": {why}" if why else "")


def _users(item: Item, most: float | None) -> str:
    """How many stand behind the number; once it is over, how many there were at most while it fired."""
    if item.kind not in _FIRES and most is not None:
        return f"up to {most:.0f} while it fired"
    return f"{item.last.users:.0f}" if item.last.users is not None else ""


def _marks(item: Item, known: Known) -> str:
    marks = []
    blind = known.unseen.get(item.last.labels.get("account", ""))
    if blind is not None and item.kind in _FIRES and item.last.signal:
        why = f" ({reason})" if (reason := blind.annotations.get("reason", "")) else ""
        marks.append(f"cannot be judged since {when(blind.starts_at)}: its account is not seen{why}")
    if any(o.transition.unguarded for o in item.obligations):
        marks.append("unguarded: the companion signal that the rule requires is unknown")
    if item.flaps:
        then = "what follows waits until it stays as it is" if item.kind is Kind.FIRING else "it has calmed down"
        marks.append(f"flapping: it began {item.flaps} times lately, {then}")
    if item.reminder and item.kind is Kind.FIRING:
        marks.append("it was muted until now")
    if item.kind is Kind.FIRING and item.change.retracts is not None:
        marks.append("corrected: the vendor revised its numbers, it fires after all")
    if item.last.cause is Cause.NO_DATA and item.kind in _FIRES:
        marks.append("the vendor answers, with no data")
    return "; ".join(marks)


# ── how it is written ────────────────────────────────────────────────────────────────────────────────────────────────


def by_urgency(items: Sequence[Item]) -> list[Item]:
    """Firing first, the most severe of them first; the items of one alert stay together, in order."""
    rank: dict[str, tuple[int, int]] = {}
    for item in items:
        own = urgency(item)
        rank[item.last.alert_id] = min(own, rank.get(item.last.alert_id, own))
    return sorted(items, key=lambda item: (rank[item.last.alert_id], item.last.alert_id, item.last.seq))


def urgency(item: Item) -> tuple[int, int]:
    """Lower is more urgent: what fires, then what repeats, then what is over; the most severe of each first."""
    kind = {Kind.FIRING: 0, Kind.UPDATE: 1, Kind.STILL_FIRING: 1}.get(item.kind, 2)
    return kind, {"critical": 0, "warning": 1}.get(item.last.severity, 2)


def _write(blocks: Sequence[Sequence[Line]], form: Callable[[Line], str], limit: int, reference: str = "") -> str:
    """As many whole lines as fit, a note of what does not, and the reference."""
    kept: list[str] = []
    last = [form(Line("ref", reference))] if reference else []
    room = limit - _NOTE_ROOM - sum(map(len, last))
    for position, block in enumerate(blocks):
        for line in ([Line("", "")] if position else []) + list(block):
            written = form(line)
            if len(written) + 1 > room:
                left = len(blocks) - position
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

"""What a message says, in which words, and that nobody else's words can do more than be read."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.alerts.build import LABELS, T0, obligation, transition
from tests.alerts.test_neutral import CORPUS, LINK, MENTION
from watcher.alerts.message import MAX_BRIEF, MAX_HTML, MAX_TEXT, MAX_TITLE, Item, Kind, Known, compose, trial
from watcher.model import Cause, State, Transition

F, R, I = State.FIRING, State.RESOLVED, State.INACTIVE  # noqa: E741

NOTES = {
    "summary": "Video freezes 9.3% on classroom",
    "description": "Look at the uplink first.",
    "runbook": "https://wiki.example.com/freeze?x=1&y=2",
}


def item(kind: Kind, *entries: Transition) -> Item:
    """What one alert says."""
    return Item(kind=kind, obligations=tuple(obligation(entry) for entry in entries))


FIRING = item(Kind.FIRING, transition(F, 140, starts_at=20, known_at=235, annotations=NOTES))
RESOLVED = item(Kind.RESOLVED, transition(R, 560, seq=2, starts_at=20, known_at=600, value=0.01, annotations=NOTES))
OVER = item(
    Kind.WAS_FIRING,
    transition(F, 140, starts_at=20, known_at=900, annotations=NOTES),
    transition(R, 560, seq=2, starts_at=20, known_at=900, value=0.01, annotations=NOTES),
)


def test_a_firing_message_says_everything_an_on_call_person_asks() -> None:
    """What, where, since when in event time, value and limit, users, age of the data, and where to read on."""
    message = compose([FIRING])
    assert message.kind is Kind.FIRING
    assert message.title == "[FIRING] VideoFreezing: classroom, Native"
    assert message.text.splitlines() == [
        "FIRING: VideoFreezing (critical)",
        "Video freezes 9.3% on classroom",
        "where: project classroom, product Native, account acme, provider agora",
        "since: 2026-01-01 00:00:20 UTC, fired 2026-01-01 00:02:20 UTC",
        "value: 9.3%, limit 5%, worst 12%",
        "users: 42",
        "data: 95 s old when it became known",
        f"alert: {FIRING.last.alert_id}",
        "description: Look at the uplink first.",
        "runbook: https://wiki.example.com/freeze?x=1&y=2",
    ]
    assert "<b>FIRING: VideoFreezing (critical)</b><br>" in message.html
    assert '<a href="https://wiki.example.com/freeze?x=1&amp;y=2">runbook</a>' in message.html


def test_a_resolved_message_says_from_when_to_when_and_how_bad() -> None:
    """End, duration and peak; the description of what to do is no longer needed."""
    message = compose([RESOLVED])
    assert message.title == "[RESOLVED] VideoFreezing: classroom, Native"
    assert "over: 2026-01-01 00:09:20 UTC, after 9 min (00:00–00:09)" in message.text
    assert "value: 1%, limit 5%, worst 12%" in message.text
    assert "description" not in message.text


def test_what_was_over_before_it_was_seen_is_one_message() -> None:
    """The words of the design: was firing 10:02–10:09, over."""
    message = compose([OVER])
    assert message.title == "[WAS FIRING 00:02–00:09, over] VideoFreezing: classroom, Native"
    assert message.text.startswith("WAS FIRING 00:02–00:09, over: VideoFreezing (critical)")


@pytest.mark.parametrize(
    ("entry", "kind", "expected"),
    [
        (transition(F, 140, unguarded=True), Kind.FIRING, "note: unguarded: the companion signal"),
        (transition(F, 140, retracts=500), Kind.FIRING, "note: corrected: the vendor revised its numbers, it fires"),
        (transition(F, 140, cause=Cause.NO_DATA), Kind.FIRING, "note: the vendor answers, with no data"),
        (transition(F, 140, known_at=140 + 1801), Kind.FIRING, "data: 30 min old when it became known, late"),
        (transition(I, 140, retracts=140), Kind.RESOLVED, "over: the vendor revised its numbers: it was not so"),
        (transition(R, 140, cause=Cause.RULE_CHANGED), Kind.RESOLVED, "why: the rule or its account was changed"),
        (transition(R, 140, cause=Cause.EXPIRED), Kind.RESOLVED, "why: nothing was seen of it for so long"),
        (transition(R, 90_000, starts_at=0), Kind.RESOLVED, "(2026-01-01 00:00–2026-01-02 01:00)"),
        (transition(F, 140, users=None, value=None, peak=None), Kind.FIRING, "value: limit 5%\n"),
    ],
)
def test_each_mark_has_its_words(entry: Transition, kind: Kind, expected: str) -> None:
    """Unguarded, corrected, late, no data, and each way to end."""
    message = compose([item(kind, entry)])
    assert expected in message.text + "\n"


def test_a_correction_says_so_in_the_title() -> None:
    """It is not an ordinary end."""
    message = compose([item(Kind.RESOLVED, transition(I, 140, retracts=140))])
    assert message.title.startswith("[RESOLVED (corrected)] ")


def test_what_could_not_be_recorded_says_so() -> None:
    """A page from memory is marked in both forms."""
    message = compose([FIRING], durable=False)
    assert "note: not durable: the state cannot be written" in message.text
    assert "<i>note</i>: not durable" in message.html
    assert "not durable" not in compose([FIRING]).text


@pytest.mark.parametrize(
    ("signal", "value", "shown"),
    [
        ("video_freeze_ratio", 0.9995, "99.95%"),
        ("video_latency_seconds", 0.4, "400 ms"),
        ("video_latency_seconds", 2.5, "2.5 s"),
        ("video_bitrate_bytes_per_second", 125_000.0, "125 kB/s"),
        ("users", 1234.0, "1234"),
        ("no_such_signal", 0.25, "0.25"),
        ("", 5e9, "5e+09"),
    ],
)
def test_values_are_shown_in_the_unit_of_their_signal(signal: str, value: float, shown: str) -> None:
    """Ratios as percent, seconds and bytes scaled, a bare number where the signal is not known."""
    entry = transition(F, 140, value=value, peak=value, signal=signal)
    assert f"value: {shown}, limit" in compose([item(Kind.FIRING, entry)]).text


def test_a_digest_counts_and_puts_the_urgent_first() -> None:
    """Firing before over, critical before the rest, one alert's lines together."""
    other = {**LABELS, "project": "lobby"}
    mild = item(Kind.FIRING, transition(F, 140, labels=other, severity="warning"))
    message = compose([RESOLVED, mild, FIRING])
    assert message.kind is Kind.DIGEST
    assert message.title == "[2 FIRING, 1 RESOLVED] VideoFreezing: 2 places"
    heads = re.findall(r"^(FIRING|RESOLVED).*\((\w+)\)", message.text, re.MULTILINE)
    assert heads == [("FIRING", "critical"), ("RESOLVED", "critical"), ("FIRING", "warning")]


def test_a_storm_is_cut_and_says_how_much() -> None:
    """A thousand alerts make one message within the limits, and the count is in the title."""
    storm = [item(Kind.FIRING, transition(F, 140, labels={**LABELS, "channel": f"room {i}"})) for i in range(1000)]
    message = compose(storm)
    assert message.title.startswith("[1000 FIRING] VideoFreezing")
    assert len(message.text) <= MAX_TEXT
    assert len(message.html) <= MAX_HTML
    assert re.search(r"… \(cut: 9\d\d more alerts\)\Z", message.text)


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert tag in ("b", "i", "br")  # no link, picture or script: there is no runbook here
        assert not attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("hostile", CORPUS)
def test_hostile_names_and_words_stay_words(hostile: str) -> None:
    """In every place that vendors or templates fill, for title, text and HTML."""
    labels = {**LABELS, "project": hostile, "channel": hostile, "x": hostile}
    notes = {"summary": hostile, "description": hostile, "runbook": hostile}
    entry = replace(transition(F, 140, annotations=notes), labels=labels)
    message = compose([item(Kind.FIRING, entry)])
    seen = Tags()
    seen.feed(message.html)
    for text in (message.title, message.text, seen.text):
        assert not MENTION.search(text)
        assert not LINK.search(text)
    assert not set("*`~|<>\\") & set(message.text + message.title)
    assert "\n" not in message.title
    assert len(message.title) <= MAX_TITLE + 60
    assert len(message.text) <= MAX_TEXT
    assert len(message.html) <= MAX_HTML
    names = {line.split(":")[0] for line in message.text.splitlines()[2:]}
    assert names <= {"where", "since", "value", "users", "description", "data", "note", "alert", "… (cut"}


@pytest.mark.parametrize("alerts", [1, 1000])
def test_the_last_line_is_the_reference_also_of_a_cut_message(alerts: int) -> None:
    """A repeat of a message can be told from news, in both forms."""
    items = [item(Kind.FIRING, transition(F, 140, labels={**LABELS, "channel": str(i)})) for i in range(alerts)]
    message = compose(items, reference="0123456789abcdef")
    assert message.text.splitlines()[-1] == "ref: 0123456789abcdef"
    assert message.html.splitlines()[-1] == "<i>ref</i>: 0123456789abcdef<br>"
    assert len(message.text) <= MAX_TEXT
    assert len(message.html) <= MAX_HTML


def test_many_labels_are_cut_and_counted() -> None:
    """A label set that a vendor grew does not fill the message."""
    labels = LABELS | {f"label{i:03d}": "x" for i in range(200)}
    text = compose([item(Kind.FIRING, transition(F, 140, labels=labels))]).text
    assert "and 192 more labels" in text


def test_a_trial_message_says_that_it_is_one() -> None:
    """Nobody is woken by a test that looks like a page."""
    notification = trial("slack", float(T0))
    assert (notification.kind, notification.title) == ("test", "[TEST] watcher can reach this target")
    assert notification.text == "Test message\nto: slack\nsent: 2026-01-01 00:00:00 UTC"


def test_the_brief_is_what_fits_a_locked_telephone() -> None:
    """What, how bad, for how many, since when, in which calls, and how to take it in hand: a few lines, the same id."""
    notes = {"summary": "Video freezes 9.3%", "description": "long " * 50, "runbook": "https://example.com/r"}
    notes["worst"] = "lobby 22% of 12 streams"
    entry = transition(State.FIRING, 0, starts_at=-120, annotations=notes)
    said = compose([Item(kind=Kind.FIRING, obligations=(obligation(entry),))], reference="abc").brief.splitlines()
    assert said == [
        "FIRING: VideoFreezing (critical)",
        "Video freezes 9.3%",
        "since 2025-12-31 23:58:00 UTC, fired 2026-01-01 00:00:00 UTC; value 9.3%, limit 5%, worst 12%; users 42",
        "worst: lobby 22% of 12 streams",
        f"alert: {entry.alert_id}",
        "runbook: https://example.com/r",
        "ref: abc",
    ]


def test_the_brief_says_where_if_no_summary_does() -> None:
    """A rule without words of its own still tells the place; many alerts are cut with a count of the rest."""
    items = [
        Item(kind=Kind.FIRING, obligations=(obligation(transition(State.FIRING, 0, rule=f"Rule{n}")),))
        for n in range(40)
    ]
    brief = compose(items, reference="abc").brief
    assert brief.splitlines()[1] == "where: project classroom, product Native, account acme, provider agora"
    assert len(brief) <= MAX_BRIEF
    assert "more alerts" in brief


def test_an_alert_whose_account_is_not_seen_is_marked() -> None:
    """It cannot be judged, which is neither news of it nor good news; other accounts' alerts are not meant."""
    blind = transition(State.FIRING, 600, rule="WatcherAccountBlind", starts_at=0, signal="", annotations={"reason": "auth"})  # fmt: skip  # noqa: E501
    item = Item(kind=Kind.STILL_FIRING, obligations=(obligation(transition(State.FIRING, 0)),), reminder=True)
    mark = "cannot be judged since 2026-01-01 00:00:00 UTC: its account is not seen (auth)"
    seen = compose([item], known=Known(unseen={"acme": blind}))
    assert f"note: {mark}" in seen.text
    assert mark in seen.brief
    assert "cannot be judged" not in compose([item], known=Known(unseen={"beta": blind})).text


def test_the_end_says_how_many_users_there_were_at_most() -> None:
    """While it fires, those behind the number; once it is over, the most of the whole incident."""
    fired, ended = transition(State.FIRING, 0), transition(State.RESOLVED, 600, seq=2, starts_at=0, users=3.0)
    known = Known(most_users={fired.alert_id: 412.0})
    begin = compose([Item(kind=Kind.FIRING, obligations=(obligation(fired),))], known=known)
    end = compose([Item(kind=Kind.RESOLVED, obligations=(obligation(ended),))], known=known)
    assert "users: 42" in begin.text
    assert "users: up to 412 while it fired" in end.text

"""From the board to HTML: the parts of the page, each with a tag that changes when its text does.

Server-rendered, so that it is there at once and without a script; in sections, so that a reader who polls gets only
what changed. Nothing in a section is relative to now ("7 minutes ago" is the script's business), or every section would
change with every second. Jinja escapes every text; what is markup is made in `charts`, of numbers.

All of it is plain work on values, done in a thread and once for all readers (`page`).
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from watcher import __version__
from watcher.alerts.wording import number, span
from watcher.clock import rfc3339
from watcher.model import SIGNALS, Worse, judged_by
from watcher.web import charts
from watcher.web.shapes import AlertDetail, Explained, PastAlert, ShownAlert, Signal
from watcher.web.views import Board, Curve

HERE = Path(__file__).parent
SECTIONS = ("now", "alerts", "signals", "accounts", "schedule", "past", "rules", "targets", "silences")
WHOLE = 12  # alerts that are shown with everything; those after them are a line each
MAX_LOOKS_SHOWN = 20
MAX_RULES_SHOWN = 200
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d):\d\d(?:\.\d+)?Z")
_PACK_FROM = 512  # bytes: less is not worth it


@dataclass(frozen=True, slots=True)
class Part:
    """A body as it is sent, plain and packed, and its tag."""

    tag: str
    body: bytes
    packed: bytes | None

    @staticmethod
    def of(text: str | bytes) -> Part:
        body = text.encode() if isinstance(text, str) else text
        packed = gzip.compress(body, 6, mtime=0) if len(body) >= _PACK_FROM else None
        return Part(f'W/"{hashlib.blake2b(body, digest_size=9).hexdigest()}"', body, packed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The status page: whole, in sections, and the list of tags that those who poll ask for."""

    page: Part
    sections: Mapping[str, Part]
    live: Part
    now: str


class Drawing:
    """Templates, read at the first page: a daemon that nobody looks at has none in memory. A spark is drawn once for as
    long as its curve is the same."""

    def __init__(self) -> None:
        self._environment: Environment | None = None
        self._sparks: dict[Curve, Markup] = {}

    def board(self, board: Board) -> Drawn:
        """The status page."""
        self._sparks = {
            curve: self._sparks.get(curve) or charts.spark(curve) for curve in board.curves if curve is not None
        }
        words = {
            "board": board,
            "whole": WHOLE,
            "signals": [
                (s, curve and self._sparks[curve])
                for s, curve in zip(board.signals.signals, board.curves, strict=False)
            ],
            "max_looks": MAX_LOOKS_SHOWN,
            "max_rules": MAX_RULES_SHOWN,
        }
        texts = {name: self._text(f"{name}.html", words) for name in SECTIONS}
        sections = {name: Part.of(text) for name, text in texts.items()}
        firing = sum(board.status.firing.values())
        title = f"({firing}) watcher" if firing else "watcher"
        live = {"title": title, "firing": bool(firing), "sections": {n: part.tag for n, part in sections.items()}}
        page = self._text("index.html", {**words, "texts": texts, "title": title, "firing": firing})
        return Drawn(
            page=Part.of(page),
            sections=sections,
            live=Part.of(msgspec.json.encode(live)),
            now=board.status.now,
        )

    def _spark(self, curve: Curve | None) -> Markup:
        return Markup() if curve is None else self._sparks[curve]

    def alert(self, detail: AlertDetail, curve: Curve | None, board: Board) -> Part:
        """The page of one alert."""
        return Part.of(self._text("alert.html", {"detail": detail, "curve": curve, "board": board}))

    def rule(self, found: Explained, board: Board) -> Part:
        """The page of one rule."""
        row = next((row for row in board.rules.rules if row.rule == found.rule), None)
        return Part.of(self._text("rule.html", {"found": found, "row": row}))

    def login(self, problem: str, after: str, *, possible: bool) -> Part:
        """Where a browser shows the token; `after` is where it goes on to."""
        return Part.of(self._text("login.html", {"problem": problem, "after": after, "possible": possible}))

    def problem(self, problem: str) -> Part:
        """A page that cannot be shown."""
        return Part.of(self._text("problem.html", {"problem": problem}))

    def _text(self, name: str, words: Mapping[str, Any]) -> str:
        if self._environment is None:
            self._environment = _environment()
        return self._environment.get_template(name).render(**words)


def static(name: str) -> bytes:
    """A file that is sent as it is."""
    return (HERE / "static" / name).read_bytes()


STATIC: Mapping[str, str] = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "calm.svg": "image/svg+xml",
    "firing.svg": "image/svg+xml",
}
"""What there is under `/static/`, and its type."""


def versions() -> dict[str, str]:
    """Name -> where the file of just this content is, so that a browser may keep it for ever."""
    return {name: f"/static/{name}?{hashlib.blake2b(static(name), digest_size=6).hexdigest()}" for name in STATIC}


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters.update(
        amount=lambda value, signal: "–" if value is None else number(value, judged_by(signal)),
        spoken=spoken,
        span=span,
        hhmm=lambda at: at[11:16],
        place=place,
        iso=lambda at: rfc3339(at) or "",
        newest=newest,
        timed=timed,
        thousands=lambda value: f"{value:,.0f}",
        share=lambda ratio: f"{ratio * 100:.2f}".rstrip("0").rstrip(".") + "%",
    )
    found.tests["beyond"] = beyond
    found.globals.update(chart=charts.chart, spark=charts.spark, static=versions(), version=__version__)
    return found


def spoken(signal: str) -> str:
    """`video freeze` of `video_freeze_ratio`."""
    name = judged_by(signal)
    for unit in ("_bytes_per_second", "_seconds", "_ratio"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def newest(curve: Curve, count: int) -> list[tuple[int, float]]:
    """The newest points, the newest first."""
    return list(zip(curve.ends.tolist(), curve.values.tolist(), strict=True))[: -count - 1 : -1]


def timed(text: str) -> Markup:
    """A sentence of ours with its instants as the page shows them."""
    return Markup(_INSTANT.sub(r'<time datetime="\g<0>">\1 UTC</time>', escape(text)))  # noqa: S704 - escaped before


def beyond(signal: Signal) -> bool:
    """Whether the newest value of a series is on the wrong side of its threshold."""
    if signal.threshold is None:
        return False
    info = SIGNALS.get(signal.signal)
    down = info is not None and info.worse is Worse.DOWN
    return signal.value < signal.threshold if down else signal.value > signal.threshold


def place(alert: ShownAlert | PastAlert | AlertDetail) -> str:
    """Where it is, the narrowest first: what tells two alerts of a rule apart."""
    names = ("channel", "product", "project", "account")
    return " · ".join(found for name in names if (found := alert.labels.get(name)))

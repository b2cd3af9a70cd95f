"""A message as a mail: its HTML in a page that mail clients show, and its charts beside it.

Apprise builds and sends the mail (`send`): since 2.2 its mail plugin makes a picture that the HTML names by `cid:` part
of the mail (multipart/related), so nothing of MIME, and of what mail servers want, is ours. Inline styles and one
column, because that is what all mail clients agree on. What cannot be shown has words: each picture's alternative text
says what is to be seen in it.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from watcher.alerts.picture import SIZE, draw
from watcher.alerts.wording import number, period, when
from watcher.model import SIGNALS, Chart, Notification

_BARS = {"firing": "#b91c1c", "still_firing": "#b91c1c", "resolved": "#15803d", "was_firing": "#6b7280"}
_OTHER = "#b45309"


def page(notification: Notification) -> str:
    """The mail's HTML; `pictures` are what it shows."""
    bar = _BARS.get(notification.kind, _OTHER)
    shown = "\n".join(_figure(chart, name) for name, chart in _named(notification))
    return (
        '<html lang="en"><body style="margin:0;padding:16px;background:#ffffff;color:#111827;'
        'font-family:-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif;font-size:15px;line-height:1.5">\n'
        f'<div style="max-width:640px;border-left:5px solid {bar};padding-left:14px">\n'
        f"{notification.html}\n{shown}</div>\n</body></html>"
    )


def pictures(notification: Notification) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of each picture that `page` names."""
    for name, chart in _named(notification):
        yield name, draw(chart)


def _named(notification: Notification) -> Iterator[tuple[str, Chart]]:
    for i, chart in enumerate(notification.charts, start=1):
        yield f"chart-{i}-{notification.id}.png", chart


def _figure(chart: Chart, name: str) -> str:
    info = SIGNALS.get(chart.signal)
    caption = html.escape(info.help if info is not None else chart.signal)
    width, height = SIZE
    return (
        f'<p style="margin:14px 0 0">{caption} Times in UTC; shaded: the incident.<br>\n'
        f'<img src="cid:{name}" width="{width}" height="{height}" '
        f'alt="{html.escape(_alternative(chart))}" style="max-width:100%;height:auto;border:0"></p>'
    )


def _alternative(chart: Chart) -> str:
    """The picture in words."""
    first, last = chart.points[0][0], chart.points[-1][0]
    values = [value for _, value in chart.points]
    low, high = number(min(values), chart.signal), number(max(values), chart.signal)
    limit = "" if chart.threshold is None else f", limit {number(chart.threshold, chart.signal)}"
    end = "still going on" if chart.ended_at is None else f"until {when(chart.ended_at)}"
    return (
        f"Chart of {chart.signal.replace('_', ' ')}, {period(first, last)} UTC: between {low} and {high}{limit}; "
        f"incident from {when(chart.starts_at)}, {end}"
    )

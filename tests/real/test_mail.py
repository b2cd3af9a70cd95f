"""The mail that on-call staff open: through a real outbox, store and SMTP server into a real browser."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import anyio
import numpy as np
import pytest
from PIL import Image

from tests.alerts.build import LABELS, T0, obligation, transition
from tests.real.processes import program
from tests.real.stand import Mailbox, eventually, mailbox
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Timing
from watcher.alerts.send import MAX_ATTEMPTS_AT_ONCE, AppriseSender, shows_charts
from watcher.alerts.settings import DeliverySettings
from watcher.clock import VirtualClock
from watcher.model import Commit, Obligation, Points, Series, State, Transition
from watcher.secret import Secret
from watcher.store import open_store
from watcher.workers import ThreadWorkers

NAME = '<img src="https://evil.example/x.png">'
SERIES = Series("acme", "agora", "classroom", "Native", NAME, "video_freeze_ratio")
PLACE: Mapping[str, str] = {**LABELS, "channel": NAME}
BEGUN, OVER = 600, 1500
NOTES = {"summary": "Video freezes 14.1% on classroom (Native), limit 5%", "runbook": "https://wiki.example.com/freeze"}


def _points(until: int) -> list[Points]:
    """Freezing and users around an incident that begins at 600 s, with a hole in the vendor's data."""
    dice = np.random.default_rng(7)
    start = np.arange(T0 - 1800, T0 + until, 20, dtype=np.int64)
    start = start[(start < T0 + 900) | (start > T0 + 1000)]
    bad = (start >= T0 + BEGUN - 100) & (start < T0 + OVER)
    value = np.where(bad, 0.14, 0.015) + dice.uniform(-0.008, 0.008, len(start))
    users = np.where(bad, 412.0, 380.0)
    return [
        Points(series=SERIES, width=20, start=start, value=value),
        Points(series=SERIES.sibling("users"), width=20, start=start, value=users),
    ]


async def _mails(folder: Path, box: Mailbox, *steps: tuple[Transition, int]) -> list[EmailMessage]:
    """What arrives when each transition becomes known, with the points recorded by then."""
    clock = VirtualClock(epoch=T0 + steps[0][1])
    store, workers = open_store(f"sqlite:///{folder}/state.db"), ThreadWorkers(1)
    url = Secret.of(box.url)
    outbox = Outbox(
        target="mail",
        sender=AppriseSender(url=url, workers=ThreadWorkers(MAX_ATTEMPTS_AT_ONCE)),
        store=store,
        workers=workers,
        clock=clock,
        timing=lambda _: Timing(interval=0.0),
        delivery=DeliverySettings(),
        charted=shows_charts(url),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        for number, (entry, at) in enumerate(steps, start=1):
            duty: Obligation = obligation(entry, "mail", created_at=clock.now())
            store.commit(Commit(points=_points(at), transitions=[entry], obligations=[duty]))
            outbox.wake()
            await eventually(partial(box.holds, number))
        tasks.cancel_scope.cancel()
    store.close()
    return box.mails


def _entries() -> tuple[Transition, Transition]:
    fired = transition(
        State.FIRING, BEGUN + 60, labels=PLACE, starts_at=BEGUN, known_at=BEGUN + 140, value=0.141, peak=0.147,
        users=412, annotations=NOTES,
    )  # fmt: skip
    ended = transition(
        State.RESOLVED, OVER + 60, seq=2, labels=PLACE, starts_at=BEGUN, known_at=OVER + 150, value=0.016, peak=0.148,
        users=380, annotations=NOTES,
    )  # fmt: skip
    return fired, ended


@pytest.fixture
def mails(tmp_path: Path) -> list[EmailMessage]:
    """The page and its resolve, as they arrived."""
    fired, ended = _entries()
    with mailbox() as box:
        return anyio.run(_mails, tmp_path, box, (fired, BEGUN + 140), (ended, OVER + 150))


def _part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def _pictures(mail: EmailMessage) -> dict[str, bytes]:
    """Content-ID -> PNG."""
    parts = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert all(part["Content-Disposition"].startswith("inline") for part in parts)
    return {str(part["Content-ID"]).strip("<>"): part.get_content() for part in parts}


def test_the_mail_has_text_html_and_its_chart_as_one_message(mails: list[EmailMessage]) -> None:
    """Plain text, HTML that names one inline picture with words for it, and that picture; nothing from elsewhere."""
    fired, _ = mails
    assert fired.get_content_type() == "multipart/related"
    html = _part(fired, "html")
    ((source, words),) = re.findall(r'<img src="([^"]*)"[^>]* alt="([^"]*)"', html)
    assert source == f"cid:{next(iter(_pictures(fired)))}"
    assert words.startswith("Chart of video freeze ratio, ")
    assert words.endswith("limit 5%; incident from 2026-01-01 00:10:00 UTC, still going on")
    assert re.findall(r'(?:src|href|background|url)\s*[=(]\s*"?(https?:[^"]*)', html) == [NOTES["runbook"]]
    text = _part(fired, "plain")
    assert "value: 14.1%, limit 5%, worst 14.7%" in text
    assert "users: 412" in text


def test_the_resolve_says_from_when_to_when_how_bad_and_for_how_many(mails: list[EmailMessage]) -> None:
    """Start, end, duration, peak value and users affected, and in the picture the calm that came after."""
    text = _part(mails[1], "plain")
    assert "over: 2026-01-01 00:26:00 UTC, after 16 min (00:10–00:26)" in text
    assert "worst 14.8%" in text
    assert "users: up to 412 while it fired" in text
    assert "incident from 2026-01-01 00:10:00 UTC, until 2026-01-01 00:26:00 UTC" in _part(mails[1], "html")


def test_a_browser_shows_it(mails: list[EmailMessage], tmp_path: Path) -> None:
    """Rendered without any network, text, limit and line are there to be seen, and the stranger's picture is not."""
    for number, mail in enumerate(mails):
        shot = _screenshot(mail, tmp_path / f"mail{number}")
        pixels = np.asarray(shot).reshape(-1, 3).astype(int)
        for name, colour in {"limit": (185, 28, 28), "line": (29, 78, 216), "incident": (253, 232, 232)}.items():
            near = (np.abs(pixels - colour).max(axis=1) < 24).sum()
            assert near > 200, f"the {name} is not to be seen"
        assert (pixels.sum(axis=1) < 300).sum() > 2000, "no text is to be seen"
        assert shot.getbbox() is not None


def _screenshot(mail: EmailMessage, folder: Path) -> Image.Image:
    """As a mail client shows it: each picture from its part of the mail, and nobody to ask for others."""
    folder.mkdir()
    html = _part(mail, "html")
    for name, picture in _pictures(mail).items():
        (folder / name).write_bytes(picture)
        html = html.replace(f"cid:{name}", name)
    (folder / "mail.html").write_text(html)
    line = [
        program("chromium", "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--hide-scrollbars", "--window-size=760,640", f"--user-data-dir={folder}/profile",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--screenshot={folder}/mail.png", f"file://{folder}/mail.html",
    ]  # fmt: skip
    subprocess.run(line, check=True, capture_output=True, timeout=90)
    with Image.open(folder / "mail.png") as image:
        return image.convert("RGB")

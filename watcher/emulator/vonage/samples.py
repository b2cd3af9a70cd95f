"""What each stream measured: one row about every 30 seconds, in constant time per row.

The first row comes 2 to 8 s after the stream began, the others every 30 s, give or take one (dossier, 3.1). A row is
named by its rank: its place among the rows that exist, which is what the API's offset cursors count. Rows that never
come (`dropped`) and rows that come late are spread evenly, one in so many, so that ranks can be computed and no list
is kept.

Values are drawn around the healthy level or the incident's; with no jitter they are exactly that. Incidents judge a row
by its time. Publisher latency is null where nobody can subscribe (the one real response of the dossier, 2.2).
"""

from __future__ import annotations

import math
from typing import Any

from watcher.emulator.dice import bits, millis, stamp, unit
from watcher.emulator.vonage.life import Publisher, Subscriber
from watcher.emulator.vonage.world import Project, SampleStyle

EVERY = 30
_WOBBLE = 1.0
_SHORT = 90.0  # streams shorter than this show the early pair
_PAIR = 3.0

Stream = Publisher | Subscriber


class Timing:
    """When the rows of one stream come. Raw numbers count all rows, ranks only those that exist."""

    __slots__ = ("_first", "_shift", "end", "key", "start", "style")

    def __init__(self, *, key: int, start: float, end: float, style: SampleStyle) -> None:
        self.key = key
        self.start = start
        self.end = end
        self.style = style
        self._first = start + 2 + 6 * unit(key, -1)
        self._shift = 1 if style.early_pair and end - start < _SHORT else 0

    def at(self, raw: int) -> float:
        """When raw row `raw` was measured."""
        if raw == 0:
            return millis(self._first)
        if self._shift:
            if raw == 1:
                return millis(self._first + _PAIR)
            raw -= 1
        return millis(self._first + EVERY * raw + _WOBBLE * (2 * unit(self.key, raw) - 1))

    def empty(self, raw: int) -> bool:
        """Whether that row is the one without a bitrate that some short streams begin with."""
        return raw < self._shift

    def until(self, at: float) -> int:
        """How many rows exist that were measured at or before `at`."""
        at = min(at, self.end - 0.001)
        raw = max(0, math.floor((at - self.start - 8 - _WOBBLE) / EVERY))
        while self.at(raw) <= at:
            raw += 1
        return self._kept(raw)

    def raw(self, rank: int) -> int:
        """The raw number of the row of that rank."""
        block = _one_in(self.style.dropped)
        if not block:
            return rank
        number, rest = divmod(rank, block - 1)
        return number * block + rest + (rest >= self._gap(number, block))

    def late(self, raw: int, share: float) -> bool:
        """Whether that row is one of those that come late."""
        block = _one_in(share)
        return bool(block) and raw % block == bits(self.key ^ 0x1A7E, raw // block) % block

    def _kept(self, raw: int) -> int:
        block = _one_in(self.style.dropped)
        if not block:
            return raw
        number, rest = divmod(raw, block)
        return raw - number - (rest > self._gap(number, block))

    def _gap(self, number: int, block: int) -> int:
        return bits(self.key ^ 0x6A9, number) % block


def timing(stream: Stream, style: SampleStyle) -> Timing:
    """When that stream's rows come."""
    return Timing(key=bits(stream.key, 50), start=stream.start, end=stream.end, style=style)


def _one_in(share: float) -> int:
    return max(2, round(1 / share)) if share > 0 else 0


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Gauge:
    """Reads one stream."""

    __slots__ = ("_blind", "_fields", "_incidents", "_low", "_project", "_step", "_timing", "_video")

    def __init__(self, *, project: Project, jitter: float, stream: Stream, timing: Timing) -> None:
        publishing = isinstance(stream, Publisher)
        source = stream if isinstance(stream, Publisher) else stream.publisher
        self._project = project
        self._timing = timing
        self._incidents = stream.incidents
        self._video = not source.audio_only
        self._fields = ("hasAudio", "hasVideo") if publishing else ("subscribeToAudio", "subscribeToVideo")
        share = project.samples.null_latency if publishing else 0.0
        self._blind = 1 << 16 if publishing and source.alone else round(share * 0xFFFF)
        self._low, self._step = 1 - jitter, 2 * jitter / 0xFFFF

    def row(self, rank: int, seen: float) -> dict[str, Any]:
        """Every field of the row, as JSON values, `seen` seconds after it became visible."""
        style = self._project.samples
        raw = self._timing.raw(rank)
        at = self._timing.at(raw)
        levels = self._project.healthy
        for incident in self._incidents:
            if incident.start <= at < incident.end:
                levels = {**levels, **incident.levels}
        # Two words of 64 bits, sixteen of them for each value.
        word, more = bits(self._timing.key, 10_000 + raw), bits(self._timing.key, 20_000_000 + raw)
        low, step = self._low, self._step
        scale = self._amendment(raw, seen)
        rate = 0.0 if self._timing.empty(raw) else scale
        blind = (more & 0xFFFF) < self._blind
        to_loss = 100.0 if style.percent_loss else 1.0
        on, video = self._fields
        kbps = levels["videoBitrateKbps"] * rate * (low + step * (word & 0xFFFF)) if self._video else 0.0
        audio_kbps = levels["audioBitrateKbps"] * rate * (low + step * (word >> 16 & 0xFFFF))
        audio_loss = min(1.0, levels["audioPacketLoss"] * scale * (low + step * (word >> 32 & 0xFFFF)))
        row = {
            "createdAt": stamp(at),
            on: True,
            video: self._video,
            "audioCodec": "opus",
            "audioLatencyMs": None
            if blind
            else round(levels["audioLatencyMs"] * scale * (low + step * (more >> 16 & 0xFFFF)), 2),
            "audioBitrateKbps": round(audio_kbps / style.bitrate_factor, 2),
            "audioPacketLoss": round(audio_loss * to_loss, 6),
            "videoCodec": None,
            "videoLatencyMs": None,
            "videoBitrateKbps": round(kbps / style.bitrate_factor, 2),
            "videoPacketLoss": 0.0,
            "videoResolution": None,
        }
        if self._video:
            loss = min(1.0, levels["videoPacketLoss"] * scale * (low + step * (word >> 48)))
            row["videoCodec"] = "VP8"
            row["videoPacketLoss"] = round(loss * to_loss, 6)
            row["videoResolution"] = resolution(kbps)
            if not blind:
                latency = levels["videoLatencyMs"] * scale * (low + step * (more >> 32 & 0xFFFF))
                row["videoLatencyMs"] = round(latency, 2)
        return row

    def _amendment(self, raw: int, seen: float) -> float:
        style = self._project.samples
        if not style.amended or seen >= style.amend_after or unit(self._timing.key ^ 0xA3E, raw) >= style.amended:
            return 1.0
        return style.amend_factor


def resolution(kbps: float) -> str:
    """What a sender makes of its bitrate: the dossier's thresholds between the sizes (section 8)."""
    if kbps > 700:
        return "1280x720"
    return "640x480" if kbps > 250 else "320x240"

"""From the streams of a sample to the values of signals, window by window (design, section 6; dossier 8.3). Pure.

Every received stream has one vote: a user's audio or video from one other user, as it arrived. Its value in a window
is the mean of its values there (about one in two seconds); a signal is the mean over the streams, their 95th
percentile, or the share of them over a line, and its weight is how many they were. What a sender lost on its way up is
part of what arrives, so uplink figures are left to whoever looks into one call.

Bitrates are those of streams that carried something: the vendor does not say whether a stream that is muted counts
zeros, and a mean that falls whenever people mute would page for silence. What freezes, other signals tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from watcher.model import Floats, Series
from watcher.providers.agora.inspector.streams import Stream

WIDTH = 60
NATIVE, WEB = "Native", "WebRTC"
SAMPLED = "sampled_users_ratio"

_SOURCES: Mapping[tuple[str, str], tuple[int, ...]] = {
    (NATIVE, "audio_loss"): (20016,),
    (NATIVE, "video_loss"): (20018,),
    (WEB, "audio_loss"): (20016,),
    (WEB, "video_loss"): (20036,),
    (NATIVE, "audio_bitrate"): (20004,),
    (NATIVE, "video_bitrate"): (20009, 20030),
    (WEB, "audio_bitrate"): (20004,),
    (WEB, "video_bitrate"): (20009, 20030),
}
"""Product and quantity -> the metric ids that measure it at the receiver; of several, a stream has one at a time."""

WANTED = frozenset(mid for mids in _SOURCES.values() for mid in mids)

MEASURED: Mapping[str, tuple[str, str]] = {
    f"{media}_{signal}": (f"{media}_{quantity}", kind)
    for media in ("video", "audio")
    for signal, quantity, kind in (
        ("packet_loss_ratio", "loss", "mean"),
        ("packet_loss_p95_ratio", "loss", "p95"),
        ("packet_loss_over_ratio", "loss", "over"),
        ("bitrate_bytes_per_second", "bitrate", "mean"),
    )
}
"""Signal -> the quantity of each stream behind it, and what is made of those."""

SIGNALS = frozenset({*MEASURED, SAMPLED})
BYTES = 125.0  # a second, in a kilobit a second


class Value(NamedTuple):
    """A signal in one window, and the streams behind it."""

    value: float
    weight: float


@dataclass(slots=True)
class Votes:
    """What every stream of a sample says: (product, quantity) -> window start -> call -> one value per stream.

    `lossy` values of packet loss were above 0, and `above_one` of them above 1, in the vendor's unit.
    """

    loss_scale: float
    lines: Mapping[str, float]
    lossy: int = 0
    above_one: int = 0
    _found: dict[tuple[str, str], dict[int, dict[str, list[float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    )

    def take(self, call: str, streams: Iterable[Stream], web: frozenset[str]) -> None:
        """Count the streams of a call; `web` are the sessions that are known to be Web users' otherwise."""
        gathered: dict[tuple[str, str], dict[tuple[str, int | None], list[Stream]]] = defaultdict(dict)
        for stream in streams:
            product = WEB if stream.web or stream.sid in web else NATIVE
            for (of, quantity), mids in _SOURCES.items():
                if of == product and stream.mid in mids:
                    gathered[product, quantity].setdefault((stream.sid, stream.peer), []).append(stream)
                    if quantity.endswith("loss"):
                        self.lossy += int(np.count_nonzero(stream.value > 0))
                        self.above_one += int(np.count_nonzero(stream.value > 1))
        for key, by_stream in gathered.items():
            of_bitrate = key[1].endswith("bitrate")
            for parts in by_stream.values():
                for window, value in means(parts):
                    scaled = value * BYTES if of_bitrate else min(value * self.loss_scale, 1.0)
                    if scaled > 0 or not of_bitrate:
                        self._found[key][window][call].append(scaled)

    def forget_loss(self) -> None:
        """Tell no packet loss: its unit is not what it is taken for."""
        for key in [key for key in self._found if key[1].endswith("loss")]:
            del self._found[key]

    def windows(self, product: str, signal: str) -> dict[int, Value]:
        """The values of a signal, by window start."""
        quantity, kind = MEASURED[signal]
        found = self._found.get((product, quantity), {})
        line = self.lines.get(quantity, 1.0)
        return {
            start: _measure(np.array([v for values in by_call.values() for v in values]), kind, line)
            for start, by_call in sorted(found.items())
        }

    def by_call(self, series: Series, start: int) -> dict[str, Value]:
        """A signal in one window, call by call."""
        if series.signal not in MEASURED:
            return {}
        quantity, kind = MEASURED[series.signal]
        calls = self._found.get((series.product, quantity), {}).get(start, {})
        line = self.lines.get(quantity, 1.0)
        return {call: _measure(np.array(values), kind, line) for call, values in calls.items()}

    def overall(self, product: str, signal: str) -> dict[str, Value]:
        """A signal over all windows, call by call (or whatever `take` was told)."""
        quantity, kind = MEASURED[signal]
        found: dict[str, list[float]] = defaultdict(list)
        for by_call in self._found.get((product, quantity), {}).values():
            for call, values in by_call.items():
                found[call] += values
        line = self.lines.get(quantity, 1.0)
        return {call: _measure(np.array(values), kind, line) for call, values in found.items()}


def means(parts: Sequence[Stream], *, largest: bool = False) -> Iterable[tuple[int, float]]:
    """The mean of what a user received from another one, window by window; the metric ids of a moment add up.

    Of a high and a low stream one is received at a time, and whether the other one is missing then or 0 is not known.
    What cannot add up (a width) is the `largest` of the moment.
    """
    at, place = np.unique(np.concatenate([part.at for part in parts]), return_inverse=True)
    values = np.concatenate([part.value for part in parts])
    if largest:
        value = np.full(len(at), -np.inf)
        np.maximum.at(value, place, values)
    else:
        value = np.bincount(place, weights=values)
    starts, first = np.unique(at // WIDTH * WIDTH, return_index=True)
    means = np.add.reduceat(value, first) / np.diff(np.append(first, len(at)))
    return zip(starts.tolist(), means.tolist(), strict=True)


def _measure(values: Floats, kind: str, line: float) -> Value:
    match kind:
        case "p95":
            result = float(np.quantile(values, 0.95))
        case "over":
            result = float(np.count_nonzero(values > line)) / len(values)
        case _:
            result = float(values.mean())
    return Value(result, float(len(values)))

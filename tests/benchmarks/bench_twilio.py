"""A stretch of Twilio's calls through the whole daemon: who was counted, by the emulator's own rows, and what it cost.

The emulator refuses whatever is over ten requests a second or more than one under way, which is what the client says it
keeps: so a refusal counted here is one request too many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.app.test_twilio import NOON, Calls
from tests.emulator.twilio.helpers import account, plain, traffic
from watcher.clock import HOUR, MINUTE, VirtualClock
from watcher.store import open_readonly

FAILED = frozenset({53000, 53001, 53405, 53206})  # of the endings below, by the dossier; 53205 is none
ENDINGS = {"53000": "1%", "53001": "2%", "53405": "2%", "53206": "0.5%", "53205": "2%"}
LENGTH = 30 * MINUTE
SETTLED = 2 * HOUR  # behind the end of the run, everything is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """`…_there` by the vendor's rows, `…_told` by the daemon's stored points, of the same minutes."""

    people_there: int
    people_told: int
    failed_there: int
    failed_told: int
    rooms: int
    participant_requests: int
    list_requests: int
    refused: int

    @property
    def requests_per_room(self) -> float:
        return self.participant_requests / self.rooms


async def stretch(clock: VirtualClock, folder: Path, *, hours: float, rooms_per_day: int, participants: int) -> Stretch:
    """Watch so many rooms from noon on; figures of all minutes but those that may still change."""
    at_once = round(rooms_per_day * LENGTH / (24 * HOUR))
    own = account(
        rooms=[],
        traffic=traffic(rooms=at_once, participants=participants, length="30m", vary="40%"),
        endings=ENDINGS,
        visibility={"slow": {"share": "20%", "by": "15m"}, "late": {"share": "20%", "by": "4m"}, "amended": "10%"},
    )
    here = Calls(clock, folder, plain(accounts=[own], limits={"per_second": 10, "concurrent": 1}))
    await here.run(hours * HOUR)
    since, until = NOON, NOON + hours * HOUR - SETTLED
    rows: list[Any] = here.emulator.participants(since=since, until=until)
    told = _told(folder, since, until)
    report: Any = here.emulator.report()
    requests: Mapping[str, Mapping[str, int]] = report["requests"]
    return Stretch(
        people_there=len(rows),
        people_told=round(told["users"]),
        failed_there=sum(row["error_code"] in FAILED for row in rows),
        failed_told=round(told["participant_failure_ratio"]),
        rooms=report["participant_reads"]["rooms"],
        participant_requests=report["participant_reads"]["requests"],
        list_requests=sum(requests["rooms"].values()),
        refused=sum(count for row in requests.values() for outcome, count in row.items() if outcome != "answered"),
    )


def _told(folder: Path, since: float, until: float) -> dict[str, float]:
    """People of each signal over the stored minutes: a ratio counts value times weight, `users` its value."""
    counts: dict[str, float] = {}
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    try:
        for series in reader.series():
            points = reader.points(series, int(since))
            if points is None or points.weight is None:
                continue
            inside = (points.start >= since) & (points.start < until)
            share = points.value if series.signal == "users" else points.value * points.weight
            counts[series.signal] = float(share[inside].sum())
    finally:
        reader.close()
    return counts

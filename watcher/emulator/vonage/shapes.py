"""How scenario files of the Vonage emulator are written: the format, and its shapes.

The format, with every setting (only `projects` is required; `tests/emulator/vonage/example.yaml` is a whole one):

    seed: 7                        # same seed, same bytes; default 1
    epoch: 2026-01-01T00:00:00Z    # what +4m counts from; default: when the emulator starts
    jitter: 5%                     # how far a row may be off its level; 0% gives exact values

    projects:
      - name: classroom            # a legacy project …
        key: "12345678"            # its API key
        secret: !env SECRET        # its API secret, at least 32 characters
      - name: clinic               # … or a unified application
        application: 00000000-0000-4000-8000-000000000001
        public_key: !file app.pub  # PEM; or private_key, whose public half is taken
        advanced: true             # has the Advanced Insights add-on
        traffic:                   # sessions without a name
          sessions: 300            # at the day's peak
          participants: 10         # in each
          length: 45m
          gap: 0s                  # between two sessions of the same room
          day: {trough: 100%, peak_hour: 15, week: [1, 1, 1, 1, 1, 1, 1]}    # UTC, Monday first
        crowd:                     # how people behave, in all sessions
          spread: 60s              # until all have come, and until all have left
          publishers: 10           # at most so many publish; default: all
          churn: 5%                # drop out once and come back, with a new connection
          audio_only: 0%           # publish without video
          forced: 1%               # of endings: forceDisconnected
          unpublished: 0%          # of streams: forceUnpublished
          media_stopped: 0%        # of streams: mediaStopped
        sessions:                  # those with a name
          - name: board
            id: 2_MX4x…            # default: made up
            media_mode: routed     # or relayed
            meetings: [{start: -10m, duration: 1h, participants: 4}]   # within 10 min: the same meetingId
        healthy: {videoPacketLoss: 0.4%, …}    # levels outside incidents
        rows:
          dropped: 0%              # rows that never exist
          null_latency: 20%        # of publishers' rows
          bitrate_factor: 8        # kbit/s divided by this is what "Kbps" fields show (dossier, 5.2)
          loss: ratio              # or percent
          early_pair: false        # very short streams begin with two rows, the first with no bitrate
          amended: {share: 0%, after: 10m, factor: 1.5}    # read `factor` times as much until then
        visibility:
          mode: per_sample         # or after_meeting_end
          lag: 5m
          ten_minute_rule: true    # a meeting's end is known after ten quiet minutes only
          late: {share: 0%, by: 2m}    # rows that come later still
        webhooks:                  # none without it
          url: http://127.0.0.1:9469/hooks/vonage/token
          signature: !env SIG      # at least 32 characters; default: not signed
          delay: 2s                # the longest way; events overtake each other within it
          duplicates: 0%
          lost: 0%
          retry: {attempts: 5, backoff: 5s}    # the wait doubles each time
          gives_up: false          # true: never again after more than 50 failures in 30 minutes

    limits: {requests: 100, window: 30s, nodes: 500000, rest_requests: 0, rest_window: 1s, throttle: http_429}
    answers:                       # what the dossier leaves open
      over_limit: clamp            # or refuse (1005): `first` beyond the largest page
      cursors: offset              # or sealed: cursors made by hand are refused (1005)
      unknown_session: fail        # or drop: one unknown id among others (1017)
      range: created               # or overlap: what start and end select
      empty_items: list            # or absent: REST, nobody streams
      validation: plain            # or coded: errorCode on errors of validation too
      nodes: existing              # or pages: an object of a page counts whether it exists or not
      slow_fields: 0s              # what publisherMinutes and its like cost
    maintenance:
      zone: none                   # PT or PST: the vendor's daily and weekly windows
      answer: frozen               # or empty, error_1012, http_503, timeout
      windows: [{start: +1h, duration: 30m, backfill: 10m}]
    daily_delay: 42h               # project data: from the day's end (Pacific) until it shows

    incidents:                     # the later of two on the same row wins
      - project: classroom
        sessions: [board]          # or sessions_share: 30%; default: all
        streams: 50%               # share of the streams in them; default: all
        roles: [publisher]         # or subscriber; default: both
        start: +4m
        duration: 5m
        levels: {videoPacketLoss: 8%, videoLatencyMs: 600, videoBitrateKbps: 0, networkDisconnected: 30%}

    faults:
      - {kind: slow, seconds: 5, from: +10m, until: +12m, every: 3,
         where: {project: [classroom], endpoint: [sessions], host: [..]}}

Levels: audioPacketLoss, videoPacketLoss, audioLatencyMs, videoLatencyMs, audioBitrateKbps, videoBitrateKbps per row (a
bitrate of 0 is a stall); networkDisconnected (share of connections cut, some seconds later they are back); and in the
nightly figures only connectFailures, publishFailures, subscribeFailures.
Endpoints are `projectData`, `sessions`, `sessionSummaries`, `streams`, `stream`, `connections`.
Kinds of faults and their settings:

    slow (seconds)       the answer comes later           timeout        the answer never comes
    reset                the connection is reset          cut_off        closed in the middle of the body
    truncated            half of the JSON                 html, redirect a page, or the way to the login
    huge (bytes)         the body goes on, 200 MB         http_401, http_403, http_404, http_429, http_500,
    clock_skew (seconds) the server's clock is ahead      http_502, http_503, http_504
    foreign (per_minute) others spend a project's limit   error_1000 … error_1022   that code, for everything
    errors_only          errors without data              null_data      data null, no errors
    partial (share)      some sessions are errors         vanish (share) some sessions are gone
    loop_cursor          the next page is this page       shuffled       lists in no order
    duplicates           the first of a page twice        future_rows (after)    a row ahead of time
    null_values (share)  rows without values              missing_fields (share)    a field less
    unknown_values       words nobody has heard of
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from watcher.emulator.day import DayShape, Share
from watcher.emulator.faults import FaultShape as CommonFaultShape
from watcher.emulator.faults import MomentField
from watcher.emulator.settings import FaultRules, Name, Setting
from watcher.secret import Secret
from watcher.yamlfile import Duration, Quantity, Strict

ENDPOINTS = ("projectData", "sessions", "sessionSummaries", "streams", "stream", "connections")

Level = Annotated[Quantity, Field(ge=0, le=1_000_000)]
Room = Annotated[int, Field(ge=1, le=5_000)]
People = Annotated[int, Field(ge=1, le=200)]
Limit = Annotated[int, Field(ge=0, le=1_000_000_000)]


class RoomsDayShape(DayShape):
    week: Annotated[tuple[Share, ...], Field(min_length=7, max_length=7)] = (1.0,) * 7  # rooms exist once


class TrafficShape(Strict):
    sessions: Room
    participants: People = 4
    length: Annotated[Duration, Field(ge=60, le=86_400)] = 2700
    gap: Annotated[Duration, Field(le=86_400)] = 0
    day: RoomsDayShape = RoomsDayShape()


class CrowdShape(Strict):
    spread: Annotated[Duration, Field(le=3600)] = 60
    publishers: People = 200
    churn: Share = 0.05
    audio_only: Share = 0.0
    forced: Share = 0.01
    unpublished: Share = 0.0
    media_stopped: Share = 0.0


class MeetingShape(Strict):
    start: MomentField
    duration: Annotated[Duration, Field(ge=1, le=7 * 86_400)]
    participants: People = 2


class SessionShape(Strict):
    name: Name
    id: Annotated[str, Field(min_length=3, max_length=255, pattern=r"^[0-9A-Za-z_-]+$")] | None = None
    media_mode: Literal["routed", "relayed"] = "routed"
    meetings: Annotated[tuple[MeetingShape, ...], Field(min_length=1, max_length=100)]


class LevelsShape(Strict):
    audio_loss: Share | None = Field(None, alias="audioPacketLoss")
    video_loss: Share | None = Field(None, alias="videoPacketLoss")
    audio_latency: Level | None = Field(None, alias="audioLatencyMs")
    video_latency: Level | None = Field(None, alias="videoLatencyMs")
    audio_bitrate: Level | None = Field(None, alias="audioBitrateKbps")
    video_bitrate: Level | None = Field(None, alias="videoBitrateKbps")
    disconnected: Share | None = Field(None, alias="networkDisconnected")
    connects: Share | None = Field(None, alias="connectFailures")
    publishes: Share | None = Field(None, alias="publishFailures")
    subscribes: Share | None = Field(None, alias="subscribeFailures")

    def levels(self) -> dict[str, float]:
        """By the vendor's names."""
        return self.model_dump(by_alias=True, exclude_none=True)


class AmendedShape(Strict):
    share: Share = 0.0
    after: Duration = 600
    factor: Annotated[Quantity, Field(ge=0, le=100)] = 1.5


class RowsShape(Strict):
    dropped: Annotated[Quantity, Field(ge=0, le=0.5)] = 0.0
    null_latency: Share = 0.2
    bitrate_factor: Annotated[Quantity, Field(gt=0, le=1000)] = 8.0
    loss: Literal["ratio", "percent"] = "ratio"
    early_pair: bool = False
    amended: AmendedShape = AmendedShape()


class LateShape(Strict):
    share: Annotated[Quantity, Field(ge=0, le=0.5)] = 0.0
    by: Annotated[Duration, Field(le=86_400)] = 120


class VisibilityShape(Strict):
    mode: Literal["per_sample", "after_meeting_end"] = "per_sample"
    lag: Annotated[Duration, Field(le=86_400)] = 300
    ten_minute_rule: bool = True
    late: LateShape = LateShape()


class RetryShape(Strict):
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    backoff: Annotated[Duration, Field(ge=1, le=3600)] = 5


class HooksShape(Strict):
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+", max_length=2000)]
    signature: Secret | None = None
    delay: Annotated[Duration, Field(le=3600)] = 2
    duplicates: Share = 0.0
    lost: Share = 0.0
    retry: RetryShape = RetryShape()
    gives_up: bool = False


class ProjectShape(Strict):
    name: Name
    key: Annotated[str, Field(pattern=r"^\d{1,18}$")] | None = None
    secret: Secret | None = None
    application: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] | None = None
    public_key: Secret | None = None
    private_key: Secret | None = None
    advanced: bool = True
    traffic: TrafficShape | None = None
    crowd: CrowdShape = CrowdShape()
    sessions: Annotated[tuple[SessionShape, ...], Field(max_length=500)] = ()
    healthy: LevelsShape = LevelsShape()
    rows: RowsShape = RowsShape()
    visibility: VisibilityShape = VisibilityShape()
    webhooks: HooksShape | None = None


class LimitsShape(Strict):
    requests: Limit = 100
    window: Annotated[Duration, Field(ge=1, le=3600)] = 30
    nodes: Limit = 500_000
    rest_requests: Limit = 0
    rest_window: Annotated[Duration, Field(ge=1, le=3600)] = 1
    throttle: Literal["http_429", "http_503"] = "http_429"


class AnswersShape(Strict):
    over_limit: Literal["clamp", "refuse"] = "clamp"
    cursors: Literal["offset", "sealed"] = "offset"
    unknown_session: Literal["fail", "drop"] = "fail"
    range: Literal["created", "overlap"] = "created"
    empty_items: Literal["list", "absent"] = "list"
    validation: Literal["plain", "coded"] = "plain"
    nodes: Literal["existing", "pages"] = "existing"
    slow_fields: Annotated[Duration, Field(le=600)] = 0


class OutageShape(Strict):
    start: MomentField
    duration: Annotated[Duration, Field(ge=1, le=86_400)]
    backfill: Annotated[Duration, Field(le=86_400)] = 1800


class MaintenanceShape(Strict):
    zone: Literal["PT", "PST", "none"] = "none"
    answer: Literal["frozen", "empty", "error_1012", "http_503", "timeout"] = "frozen"
    windows: Annotated[tuple[OutageShape, ...], Field(max_length=100)] = ()


class IncidentShape(Strict):
    project: Name
    sessions: tuple[Name, ...] = ()
    sessions_share: Share | None = None
    streams: Share = 1.0
    roles: tuple[Literal["publisher", "subscriber"], ...] = ()
    start: MomentField
    duration: Duration
    levels: LevelsShape


class FaultShape(CommonFaultShape):
    kind: Literal[
        "slow", "timeout", "reset", "cut_off", "truncated", "html", "redirect", "huge",
        "http_401", "http_403", "http_404", "http_429", "http_500", "http_502", "http_503", "http_504",
        "clock_skew", "foreign",
        "error_1000", "error_1001", "error_1002", "error_1003", "error_1004", "error_1005", "error_1006", "error_1007",
        "error_1008", "error_1009", "error_1010", "error_1011", "error_1012", "error_1013", "error_1014", "error_1015",
        "error_1016", "error_1017", "error_1018", "error_1019", "error_1020", "error_1021", "error_1022",
        "errors_only", "null_data", "partial", "vanish", "loop_cursor", "shuffled", "duplicates", "future_rows",
        "null_values", "missing_fields", "unknown_values",
    ]  # fmt: skip


class ScenarioShape(Strict):
    seed: int = 1
    epoch: MomentField | None = None
    jitter: Annotated[Quantity, Field(ge=0, le=0.5)] = 0.05
    projects: Annotated[tuple[ProjectShape, ...], Field(min_length=1, max_length=100)]
    limits: LimitsShape = LimitsShape()
    answers: AnswersShape = AnswersShape()
    maintenance: MaintenanceShape = MaintenanceShape()
    daily_delay: Annotated[Duration, Field(le=7 * 86_400)] = 42 * 3600
    incidents: Annotated[tuple[IncidentShape, ...], Field(max_length=1000)] = ()
    faults: Annotated[tuple[FaultShape, ...], Field(max_length=200)] = ()


FAULTS = FaultRules(
    settings={
        "seconds": Setting(("slow", "clock_skew"), None, -86_400, 86_400),
        "per_minute": Setting(("foreign",), None, 0, 100_000),
        "bytes": Setting(("huge",), 200_000_000, 1, 2e9),
        "share": Setting(("partial", "vanish", "null_values", "missing_fields"), 0.3, 0, 1),
        "after": Setting(("future_rows",), 3600, 0, 366 * 86_400),
    },
    places=("project", "endpoint", "host"),
    timeless={"clock_skew": ("host",), "foreign": ("project",)},
)

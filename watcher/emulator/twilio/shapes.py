"""How scenario files of the Twilio emulator are written: the format, and its shapes.

The format, with every setting (only `accounts` is required; `tests/emulator/twilio/example.yaml` is a whole one):

    seed: 7                        # same seed, same bytes; default 1
    epoch: 2026-01-01T00:00:00Z    # what +4m counts from; default: when the emulator starts

    accounts:                      # a subaccount is an account of its own: nothing is shared
      - name: acme
        sid: AC…                   # AC and 32 hexadecimal digits; default: made up
        auth_token: !env TOKEN     # Basic: the sid and this …
        api_keys: [{sid: SK…, secret: !env SECRET}]     # … or a key's sid and secret; at least one of the two
        traffic:                   # rooms that are not written down
          rooms: 80                # at the day's peak
          participants: 6          # in each
          length: 30m
          vary: 50%                # a room may be shorter by so much of it
          gap: 0s                  # between two rooms of the same name
          day: {trough: 100%, peak_hour: 15, week: [1, 1, 1, 1, 1, 1, 1]}      # UTC, Monday first
        crowd:                     # how people behave
          spread: 60s              # until all have come, and until all have left
          churn: 5%                # leave once and come back: a second participant sid
          returns: 80%             # of those cut off come back
          retries: 2               # times that one who cannot connect tries again
          completed: 20%           # of rooms are ended over REST: who is still there gets 53118
          recorded: 0%             # of rooms
        mix:                       # weights
          room_types: {group: 1}
          regions: {us1: 6, ie1: 3, sg1: 1}
          sdks: {twilio-video-js 2.34.0: 8, twilio-video-ios 5.11.1: 2}
          browsers: {Chrome 143: 7, Safari 26: 3}
        rooms:                     # those that are written down
          - name: board
            sid: RM…               # default: made up from name and start
            start: -40m
            duration: 30m
            participants: 4        # or people, each exactly as written:
            people: [{identity: ann, join: 0s, stay: 31s, ending: 53405, error_code: 53002, region: ie1, sdk: a 1}]
            type: group            # go, peer_to_peer, group, group_small
            region: us1
            method: sdk            # or ad_hoc, api
            completed: false       # over REST
            recorded: false
            status_callback: https://hooks.example.com/room
        endings: {53001: 1.5%, …}  # shares outside incidents; replaces the defaults
        conflicts: 0%              # of ended stays have an error code that contradicts their end_reason
        no_duration: 0%            # of failed attempts have duration_sec null
        visibility:
          delay: 10m               # from a room's end until it shows
          slow: {share: 0%, by: 30m}     # rooms that take up to this long instead
          settle: 5m               # from then until processing_state is complete
          late: {share: 0%, by: 5m}      # participants that show up to this long after their room
          amended: 0%              # participants whose row changes when their room settles
          timeout: 0%              # rooms that settle as timeout
          stuck: 0%                # rooms that stay in_progress for good
          not_started: 0%          # rooms that read not_started until they settle
          running: hidden          # or shown: rooms that are not over, events `lag` after they happened
          lag: 60s
          kept: 7d                 # after the end
          kept_go: 7d
          backlogs: [{start: +1h, duration: 30m}]       # nothing is published; all of it comes at the end

    limits:                        # per account; 0: none
      concurrent: 0                # requests under way
      per_second: 80
      latency: 0ms                 # what every good answer takes
      retry_after: none            # or seconds, date: with 429
      retry_in: 1s
    answers:                       # what the dossier leaves open
      errors: legacy               # or rfc9457
      no_error: nothing            # or zero, mixed: error_code of a stay without one
      normal: reason               # or nothing: end_reason of a stay that just ended
      failed_attempts: rows        # or nothing: they leave no trace
      timestamps: whole            # or millis, mixed
      processing: underscore       # or hyphen, nothing: how processing_state reads while in progress
      properties: camel            # or snake, empty
      publisher: plain             # or full (browser, platform), empty

    incidents:                     # the later of two on the same ending wins
      - account: acme
        rooms: [board]             # or rooms_share: 30%; default: all
        regions: [ie1]             # default: all; likewise sdks and browsers, as `mix` has them
        sdks: [twilio-video-js 2.34.0]
        browsers: [Safari 26]
        start: +4m
        duration: 5m
        endings: {53405: 10%, unable_to_connect_to_room: 20%}

    faults:
      - {kind: slow, seconds: 5, from: +10m, until: +12m, every: 3,
         where: {account: [acme], endpoint: [rooms], host: [..]}}

An ending goes by its `end_reason` or its error code (`none`: nothing is said). Its share is of the attempts to connect
that begin during the incident, where it keeps people out (53000, 53104, 53206 …); of those present, where it cuts them
off (53001, 53405 …); of those who leave, for the rest (53121, unknown).
Endpoints are `rooms`, `room`, `participants`, `participant`. Kinds of faults and their settings:

    slow (seconds)       the answer comes later           timeout        the answer never comes
    reset                the connection is reset          cut_off        closed in the middle of the body
    truncated            half of the JSON                 html, redirect a page, or the way to the login
    huge (bytes)         the body goes on, 200 MB         http_400, http_401, http_403, http_404, http_429, http_500,
    clock_skew (seconds) the server's clock is ahead      http_502, http_503, http_504
    foreign (per_minute) others spend the account's rate  busy (slots)   others hold so many requests under way
    error_20001 … error_20503    refused with that code   data_null, no_meta     a list without rows, or without meta
    loop_page            the next page is this page       repeat_page    the rows of the page before once more
    short_page           half a page, then a next one     empty_page     no rows, and a next page
    next_elsewhere (text)   the next page is at `text`, another origin
    shuffled             rows in no order                 duplicates     the first of a page twice
    vanish (share)       rooms that are deleted           null_values (share)    rows of nulls
    missing_fields (share)      a field less              extra_fields   a field nobody has heard of
    unknown_values       words nobody has heard of        unknown_codes (share)  error codes likewise
    numbers_as_text      numbers in quotes                bad_times (share)      times that cannot be
    hostile_text         names and identities that want to be markup
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from watcher.clock import DAY, HOUR
from watcher.emulator.day import DayShape, Share
from watcher.emulator.faults import FaultShape as CommonFaultShape
from watcher.emulator.faults import MomentField
from watcher.emulator.settings import FaultRules, Name, Setting
from watcher.emulator.twilio.world import CAPACITY, CreatedMethod, RoomType
from watcher.secret import Secret
from watcher.yamlfile import Duration, Quantity, Strict

ENDPOINTS = ("rooms", "room", "participants", "participant")

People = Annotated[int, Field(ge=1, le=CAPACITY)]
Limit = Annotated[int, Field(ge=0, le=1_000_000)]
Weight = Annotated[Quantity, Field(ge=0, le=1_000_000)]
Weights = Annotated[dict[Name, Weight], Field(min_length=1, max_length=100)]
Shares = Annotated[dict[Name, Share], Field(max_length=100)]
Length = Annotated[Duration, Field(ge=10, le=DAY)]


class KeyShape(Strict):
    sid: Annotated[str, Field(pattern=r"^SK[0-9a-f]{32}$")]
    secret: Secret


class RoomsDayShape(DayShape):
    week: Annotated[tuple[Share, ...], Field(min_length=7, max_length=7)] = (1.0,) * 7  # rooms exist once


class TrafficShape(Strict):
    rooms: Annotated[int, Field(ge=1, le=5_000)]
    participants: People = 4
    length: Length = 1800
    vary: Annotated[Quantity, Field(ge=0, le=0.9)] = 0.5
    gap: Annotated[Duration, Field(le=DAY)] = 0
    day: RoomsDayShape = RoomsDayShape()


class CrowdShape(Strict):
    spread: Annotated[Duration, Field(le=3600)] = 60
    churn: Share = 0.05
    returns: Share = 0.8
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    completed: Share = 0.2
    recorded: Share = 0.0


def _only_groups() -> dict[RoomType, float]:
    return {"group": 1.0}


class MixShape(Strict):
    room_types: Annotated[dict[RoomType, Weight], Field(min_length=1)] = Field(default_factory=_only_groups)
    regions: Weights = Field(default_factory=lambda: {"us1": 6.0, "ie1": 3.0, "sg1": 1.0})
    sdks: Weights = Field(default_factory=lambda: {"twilio-video-js 2.34.0": 8.0, "twilio-video-ios 5.11.1": 2.0})
    browsers: Weights = Field(default_factory=lambda: {"Chrome 143": 7.0, "Safari 26": 3.0})


class PersonShape(Strict):
    identity: Annotated[str, Field(max_length=200)]
    join: Annotated[Duration, Field(le=DAY)] = 0
    stay: Annotated[Duration, Field(le=DAY)]
    ending: str | int = "disconnected_via_api"
    error_code: Annotated[int, Field(ge=0, le=99_999)] | None = None
    region: str = ""
    sdk: str = ""
    browser: str = ""


class RoomShape(Strict):
    name: Name
    sid: Annotated[str, Field(pattern=r"^RM[0-9a-f]{32}$")] | None = None
    start: MomentField
    duration: Length
    participants: People | None = None
    people: Annotated[tuple[PersonShape, ...], Field(max_length=500)] = ()
    type: RoomType = "group"
    region: str = "us1"
    method: CreatedMethod = "sdk"
    completed: bool = False
    recorded: bool = False
    status_callback: Annotated[str, Field(max_length=2000)] = ""


class SlowShape(Strict):
    share: Share = 0.0
    by: Annotated[Duration, Field(le=DAY)] = 1800


class LateShape(Strict):
    share: Share = 0.0
    by: Annotated[Duration, Field(le=DAY)] = 300


class BacklogShape(Strict):
    start: MomentField
    duration: Annotated[Duration, Field(ge=1, le=7 * DAY)]


class VisibilityShape(Strict):
    delay: Annotated[Duration, Field(le=DAY)] = 600
    slow: SlowShape = SlowShape()
    settle: Annotated[Duration, Field(le=DAY)] = 300
    late: LateShape = LateShape()
    amended: Share = 0.0
    timeout: Share = 0.0
    stuck: Share = 0.0
    not_started: Share = 0.0
    running: Literal["hidden", "shown"] = "hidden"
    lag: Annotated[Duration, Field(le=HOUR)] = 60
    kept: Annotated[Duration, Field(ge=HOUR, le=30 * DAY)] = 7 * DAY
    kept_go: Annotated[Duration, Field(ge=HOUR, le=30 * DAY)] = 7 * DAY
    backlogs: Annotated[tuple[BacklogShape, ...], Field(max_length=100)] = ()


class AccountShape(Strict):
    name: Name
    sid: Annotated[str, Field(pattern=r"^AC[0-9a-f]{32}$")] | None = None
    auth_token: Secret | None = None
    api_keys: Annotated[tuple[KeyShape, ...], Field(max_length=100)] = ()
    traffic: TrafficShape | None = None
    crowd: CrowdShape = CrowdShape()
    mix: MixShape = MixShape()
    rooms: Annotated[tuple[RoomShape, ...], Field(max_length=1000)] = ()
    endings: Shares | None = None
    conflicts: Share = 0.0
    no_duration: Share = 0.0
    visibility: VisibilityShape = VisibilityShape()


class LimitsShape(Strict):
    concurrent: Limit = 0
    per_second: Limit = 80
    latency: Annotated[Quantity, Field(ge=0, le=3600)] = 0.0
    retry_after: Literal["none", "seconds", "date"] = "none"
    retry_in: Annotated[Duration, Field(ge=1, le=3600)] = 1


class AnswersShape(Strict):
    errors: Literal["legacy", "rfc9457"] = "legacy"
    no_error: Literal["nothing", "zero", "mixed"] = "nothing"
    normal: Literal["reason", "nothing"] = "reason"
    failed_attempts: Literal["rows", "nothing"] = "rows"
    timestamps: Literal["whole", "millis", "mixed"] = "whole"
    processing: Literal["underscore", "hyphen", "nothing"] = "underscore"
    properties: Literal["camel", "snake", "empty"] = "camel"
    publisher: Literal["plain", "full", "empty"] = "plain"


class IncidentShape(Strict):
    account: Name
    rooms: tuple[Name, ...] = ()
    rooms_share: Share | None = None
    regions: tuple[Name, ...] = ()
    sdks: tuple[Name, ...] = ()
    browsers: tuple[Name, ...] = ()
    start: MomentField
    duration: Duration
    endings: Shares


class FaultShape(CommonFaultShape):
    kind: Literal[
        "slow", "timeout", "reset", "cut_off", "truncated", "html", "redirect", "huge",
        "http_400", "http_401", "http_403", "http_404", "http_429", "http_500", "http_502", "http_503", "http_504",
        "clock_skew", "foreign", "busy",
        "error_20001", "error_20003", "error_20005", "error_20006", "error_20008", "error_20403", "error_20404",
        "error_20429", "error_20500", "error_20503",
        "data_null", "no_meta", "loop_page", "repeat_page", "short_page", "empty_page", "next_elsewhere", "shuffled",
        "duplicates", "vanish", "null_values", "missing_fields", "extra_fields", "unknown_values", "unknown_codes",
        "numbers_as_text", "bad_times", "hostile_text",
    ]  # fmt: skip


class ScenarioShape(Strict):
    seed: int = 1
    epoch: MomentField | None = None
    accounts: Annotated[tuple[AccountShape, ...], Field(min_length=1, max_length=100)]
    limits: LimitsShape = LimitsShape()
    answers: AnswersShape = AnswersShape()
    incidents: Annotated[tuple[IncidentShape, ...], Field(max_length=1000)] = ()
    faults: Annotated[tuple[FaultShape, ...], Field(max_length=200)] = ()


FAULTS = FaultRules(
    settings={
        "seconds": Setting(("slow", "clock_skew"), None, -86_400, 86_400),
        "per_minute": Setting(("foreign",), None, 0, 100_000),
        "bytes": Setting(("huge",), 200_000_000, 1, 2e9),
        "share": Setting(("vanish", "null_values", "missing_fields", "unknown_codes", "bad_times"), 0.3, 0, 1),
        "slots": Setting(("busy",), 1, 1, 10),
    },
    texts=("next_elsewhere",),
    places=("account", "endpoint", "host"),
    timeless={"clock_skew": ("host",), "foreign": ("account",)},
)

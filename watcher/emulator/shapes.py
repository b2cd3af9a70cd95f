"""Scenario files of the Agora emulator as they are written (docs/emulator.md): shapes only, no meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from watcher.clock import DAY, HOUR, MINUTE
from watcher.emulator.day import DayShape, Share
from watcher.emulator.faults import FaultShape, MomentField
from watcher.emulator.settings import FaultRules, Name, Setting
from watcher.emulator.world import Empty, Limits, family_of
from watcher.secret import Secret
from watcher.yamlfile import Duration, Quantity, Strict

Product = Literal["Native", "WebRTC"]
Dimension = Literal["country", "region", "net", "sdk", "os", "device"]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Users = Annotated[Quantity, Field(ge=0, le=100_000_000)]
Reach = Annotated[Duration, Field(le=3 * DAY)]  # bounds an answer: 12,960 slots
FarReach = Annotated[Duration, Field(le=30 * DAY)]
Uid = Annotated[int, Field(ge=1, le=2**32 - 1)]


class FrequencyShape(Strict):
    per_second: Count | None = None
    per_minute: Count | None = None
    per_day: Count | None = None


class FamilyShape(FrequencyShape):
    allowed: bool | None = None
    look_back: FarReach | None = None
    span: FarReach | None = None
    delay: FarReach | None = None


class LimitsShape(FrequencyShape):
    realtime: bool | None = None
    look_back: Reach | None = None
    span: Reach | None = None
    delay: Reach | None = None
    call_lists: FamilyShape = FamilyShape()
    call_details: FamilyShape = FamilyShape()
    insight: FamilyShape = FamilyShape()

    def over(self, plan: Mapping[str, Limits]) -> dict[str, Limits]:
        """The plan's limits with these in their place; `insight` is for its four groups."""
        own = self.model_dump(exclude_none=True)
        families = {name: own.pop(name) for name in ("call_lists", "call_details", "insight")}
        if "realtime" in own:
            own["allowed"] = own.pop("realtime")
        families["realtime"] = own
        return {name: replace(limits, **families[family_of(name)]) for name, limits in plan.items()}


class QuotaShape(Strict):
    scope: Literal["account", "family", "endpoint", "app_id"] = "family"
    strict: bool = True
    refuse_with: Literal["body", "gateway"] = "body"


class AnswersShape(Strict):
    message_prefix: bool = False
    span_refusal: Literal["duration", "length"] = "duration"
    empty_usage: Empty = "absent"
    empty_quality: Empty = "absent"
    call_success: Literal["200", "0"] = "200"
    call_acu: Literal["accumulated", "average"] = "accumulated"
    call_rates: Literal["fraction", "percent"] = "fraction"
    live_destroyed: Literal["absent", "null", "zero"] = "absent"
    total_size: Literal["all", "page"] = "all"
    session_has_more: bool = False
    uid: Literal["number", "string"] = "number"
    roles: Literal["string", "list"] = "list"
    loss: Literal["percent", "fraction"] = "percent"
    streams: Literal["low_first", "high_first"] = "low_first"
    picture_qp: bool = False
    memory: bool = True
    empty_buckets: bool = False
    day: Literal["utc", "utc+8"] = "utc"
    peaks: Literal["both", "concurrent", "current"] = "both"
    dimensions: Literal["both", "long", "short"] = "both"
    product_type: Literal["required", "optional"] = "required"


class RatesShape(Strict):
    join: Share | None = Field(None, alias="joinSuccessRate")
    join_5s: Share | None = Field(None, alias="joinSuccessIn5sRate")
    audio_freeze: Share | None = Field(None, alias="audioFreezeRate")
    video_freeze: Share | None = Field(None, alias="videoFreezeRate")
    delay: Share | None = Field(None, alias="networkDelay")
    audio_loss: Share | None = Field(None, alias="audioPacketLoss")
    video_loss: Share | None = Field(None, alias="videoPacketLoss")

    def levels(self) -> dict[str, float]:
        """By the vendor's names."""
        return self.model_dump(by_alias=True, exclude_none=True)


class LevelsShape(RatesShape):
    users: Users | None = Field(None, alias="userCount")


class ProductShape(Strict):
    peak_users: Users


class ProductsShape(Strict):
    native: ProductShape | None = Field(None, alias="Native")
    webrtc: ProductShape | None = Field(None, alias="WebRTC")


class UidsShape(Strict):
    native: Annotated[tuple[Uid, ...], Field(max_length=1000)] = Field((), alias="Native")
    webrtc: Annotated[tuple[Uid, ...], Field(max_length=1000)] = Field((), alias="WebRTC")


class AgoraDay(DayShape):
    trough: Share = 0.2


class CallsShape(Strict):
    length: Annotated[Duration, Field(ge=60, le=DAY)] = HOUR
    stay: Annotated[Duration, Field(ge=60, le=DAY)] = 40 * MINUTE
    speakers: Annotated[int, Field(ge=0, le=16)] = 2
    servers: Annotated[int, Field(ge=0, le=10)] = 1


class ChannelShape(Strict):
    name: Name
    share: Share
    uids: UidsShape = UidsShape()


class ProjectShape(Strict):
    name: Name
    app_id: Name
    products: ProductsShape
    day: AgoraDay = AgoraDay()
    users_per_channel: Count = 8
    calls: CallsShape = CallsShape()
    channels: Annotated[tuple[ChannelShape, ...], Field(max_length=200)] = ()
    healthy: RatesShape = RatesShape()


class AccountShape(Strict):
    name: Name
    customer_id: Name
    customer_secret: Secret
    plan: Literal["starter", "standard", "premium", "enterprise"]
    limits: LimitsShape = LimitsShape()
    quota: QuotaShape = QuotaShape()
    answers: AnswersShape = AnswersShape()
    projects: Annotated[tuple[ProjectShape, ...], Field(min_length=1, max_length=200)]


class IncidentShape(Strict):
    project: Name
    products: tuple[Product, ...] = ()
    channel: str = ""
    start: MomentField
    duration: Duration
    levels: LevelsShape
    where: dict[Dimension, str] = Field(default_factory=dict, max_length=1)


class AgoraFault(FaultShape):
    kind: Literal[
        "slow", "timeout", "reset", "cut_off", "truncated", "html", "huge",
        "http_401", "http_404", "http_429", "http_500", "http_502", "code_500",
        "clock_skew", "foreign", "qps", "qpm", "qpd", "no_auth",
        "data_null", "data_empty", "holes", "null_values", "zero_values", "shuffled", "late_slots", "revised",
        "message", "code_zero", "duplicates",
    ]  # fmt: skip


class ScenarioShape(Strict):
    seed: int = 1
    epoch: MomentField | None = None
    jitter: Annotated[Quantity, Field(ge=0, le=0.5)] = 0.05
    amended_after: Annotated[Duration, Field(le=DAY)] = 0
    accounts: Annotated[tuple[AccountShape, ...], Field(min_length=1, max_length=100)]
    incidents: Annotated[tuple[IncidentShape, ...], Field(max_length=1000)] = ()
    faults: Annotated[tuple[AgoraFault, ...], Field(max_length=200)] = ()


FAULTS = FaultRules(
    settings={
        "seconds": Setting(("slow", "clock_skew"), None, -86_400, 86_400),
        "per_minute": Setting(("foreign",), None, 0, 100_000),
        "bytes": Setting(("huge",), 200_000_000, 1, 2e9),
        "share": Setting(("holes", "null_values", "zero_values"), 0.3, 0, 1),
        "slots": Setting(("late_slots",), 2, 1, 10),
        "after": Setting(("revised",), 600, 0, 86_400),
        "factor": Setting(("revised",), 2.0, 0, 100),
    },
    texts=("message",),
    places=("account", "project", "endpoint", "host", "metric", "product"),
    timeless={"clock_skew": ("host",), "foreign": ("account",)},
)

"""What users write for Call Inspector, and the plans' numbers behind it (dossier section 6)."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from watcher.clock import HOUR, MINUTE
from watcher.yamlfile import Duration, Quantity, Strict

MOST = HOUR - MINUTE  # seconds of a call read at once: Standard's requests must be shorter than an hour
ASKED_PER_DAY = 200  # requests for whoever asks for a call, where no samples are wanted
_LOOKS = 30  # samples a day that no window is lost with, and the reserve for what an alert calls for


class Reach(NamedTuple):
    """How far back a request may begin, how long it may be, how far behind it must end: seconds."""

    back: int
    span: int
    delay: int


class CallLimits(NamedTuple):
    """A plan's numbers. Lists have their own row in the vendor's table; its quota is taken to be the same one."""

    per_second: int
    per_day: int
    lists: Reach
    calls: Reach


CALL_PLANS = {
    "standard": CallLimits(1, 1_000, Reach(86_400, 8 * HOUR, 60), Reach(86_400, HOUR, 300)),
    "premium": CallLimits(3, 2_000, Reach(7 * 86_400, 16 * HOUR, 20), Reach(7 * 86_400, 3 * HOUR, 150)),
    "enterprise": CallLimits(10, 10_000, Reach(15 * 86_400, 24 * HOUR, 20), Reach(15 * 86_400, 6 * HOUR, 100)),
}


class Lines(Strict):
    """Where a stream counts as bad, for the share of streams over the line: Agora calls more than 5 % high."""

    video_loss: Annotated[Quantity, Field(gt=0, le=1)] = 0.05
    audio_loss: Annotated[Quantity, Field(gt=0, le=1)] = 0.05


class CallInspector(Strict):
    """How much may be spent on samples of running calls, and what they are made of.

    `pages` are pages of 100 calls that are listed, `longest` how long ago a running call may have begun. `loss` says
    how the vendor writes packet loss; its documents show percent.
    """

    requests_per_day: Annotated[int, Field(ge=1, le=1_000_000)]
    calls: Annotated[int, Field(ge=1, le=20)] = 4
    users_per_call: Annotated[int, Field(ge=1, le=20)] = 10
    first: Literal["largest", "worst"] = "largest"
    pages: Annotated[int, Field(ge=1, le=10)] = 1
    longest: Annotated[Duration, Field(ge=10 * MINUTE, le=7 * HOUR)] = 4 * HOUR
    lines: Lines = Lines()
    loss: Literal["percent", "ratio"] = "percent"
    delay: Annotated[Duration, Field(ge=0, le=HOUR)] | None = None

    @property
    def requests(self) -> int:
        """Requests of one sample of one project: the list, and of each call its sessions and their metrics."""
        return self.pages + 2 * self.calls

    @property
    def loss_scale(self) -> float:
        """Makes the vendor's packet loss a share."""
        return 0.01 if self.loss == "percent" else 1.0

    def least_per_day(self, projects: int) -> int:
        """Requests a day below which samples would come too seldom to see every window; one is for a failed look."""
        return _LOOKS * (projects * self.requests + 1)


class CallQuota(Strict):
    """Requests that the vendor allows; None takes the plan's."""

    per_second: Annotated[int, Field(ge=1, le=10_000)] | None = None
    per_day: Annotated[int, Field(ge=1, le=10_000_000)] | None = None

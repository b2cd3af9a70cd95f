"""What the vendor's numbers mean, where the dossier leaves it open: found once per project, kept over restarts.

Loss (5.1): a ratio, until a value above 1 is seen; then the project writes percent, and always did. Bitrate (5.2):
named kilobits, looks like kilobytes; told by the bitrates of pictures at least 640 wide, of which 200 are needed, and
until then no absolute bitrate is made a point of. Running meetings (3.2): shown, or not. Each can be set instead.

What was found is a small text that the daemon keeps and hands back at the next start: found anew each time, a project
that writes percent would be read as ratios until its first value above 1, and page for 80 % loss where there is 0.8.
"""

from __future__ import annotations

import msgspec
import numpy as np

from watcher.log import get
from watcher.providers.vonage.points import Scale
from watcher.providers.vonage.rows import Grid
from watcher.providers.vonage.settings import Project

ENOUGH = 200
_KILOBYTES_BELOW = 250.0  # 95th percentile of raw video bitrates at 640 pixels and more
_TO_BYTES = {"kilobits": 125.0, "kilobytes": 1000.0}


class Found(msgspec.Struct, omit_defaults=True):
    """What is known; None where it is not yet."""

    loss: str | None = None
    bitrate: str | None = None
    running: bool | None = None


class Units:
    """One project's."""

    def __init__(self, *, project: Project, known: Found) -> None:
        self._project = project
        self._found = known
        self._log = get("vonage").bind(project=project.name)
        self.changed = False

    @property
    def shows_running(self) -> bool | None:
        """Whether meetings are shown while they run; None: not known yet."""
        if self._project.visibility != "auto":
            return self._project.visibility == "per_sample"
        return self._found.running

    def scale(self, beside: Grid | None = None) -> Scale:
        """From the vendor's units to ours. Rows that were read `beside` those of looks may tell them for themselves."""
        found = self._found if beside is None else msgspec.structs.replace(self._found, **self._news(beside))
        loss = found.loss if self._project.loss == "auto" else self._project.loss
        bitrate = found.bitrate if self._project.bitrate == "auto" else self._project.bitrate
        return Scale(loss=0.01 if loss == "percent" else 1.0, bitrate=_TO_BYTES.get(bitrate or ""))

    def learn(self, grid: Grid, *, shows_running: bool | None) -> None:
        """See what the newest rows tell. Whatever becomes known holds for all rows in memory."""
        before = self.scale()
        for name, unit in self._news(grid).items():
            self._note(**{name: unit})
        if self._found.running is None and self._project.visibility == "auto" and shows_running is not None:
            self._note(running=shows_running)
        if self.scale() != before:
            grid.touch_all()

    def found(self) -> Found:
        return self._found

    def _news(self, grid: Grid) -> dict[str, str]:
        """What the rows of a grid tell that is not known yet."""
        news = {}
        if self._project.loss == "auto" and self._found.loss is None and grid.most_loss > 1.0:
            news["loss"] = "percent"
        if self._project.bitrate == "auto" and self._found.bitrate is None and len(grid.widest) >= ENOUGH:
            small = float(np.quantile(grid.widest, 0.95)) < _KILOBYTES_BELOW
            news["bitrate"] = "kilobytes" if small else "kilobits"
        return news

    def _note(self, **news: str | bool) -> None:
        self._found = msgspec.structs.replace(self._found, **news)
        self.changed = True
        self._log.warning("vendor_units_found", **news)

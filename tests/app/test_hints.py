"""A hint from outside: the project is looked at soon, once, and nothing of the hint is believed."""

from __future__ import annotations

from pathlib import Path

from tests.app import town
from tests.app.town import START, Town, minutes
from watcher.clock import VirtualClock
from watcher.model import State


async def test_a_hint_finds_an_incident_sooner(tmp_path: Path) -> None:
    """A hint in an incident's second minute: its page comes within the vendor's delay and two minutes of `for`."""
    paged: dict[bool, float] = {}
    for hinted in (False, True):
        folder = tmp_path / str(hinted)
        folder.mkdir()
        clock = VirtualClock(epoch=START, jumping=True)
        incident = town.incident("classroom", minutes(123), 40)
        here = Town(clock=clock, folder=folder, tale=town.story(incidents=[incident]), epoch=START)
        async with here.running(town.config(folder)) as daemon:
            await clock.sleep_until(START + minutes(126.5))
            if hinted:
                assert daemon.hint(provider="agora", account=None, project="classroom") == 1
            await clock.sleep_until(START + minutes(160))
            reasons = town.scrape(daemon)
        paged[hinted] = next(at for at, title in here.told("pager") if "classroom" in title)
        hints = town.metric(reasons, "watcher_scheduled_looks_total", account="acme", reason="hint")
        assert (hints > 0) == hinted
        assert town.metric(reasons, "watcher_scheduled_looks_total", account="beta", reason="hint") == 0
    assert paged[True] <= paged[False]
    assert paged[True] <= START + minutes(128.5)


async def test_a_hint_without_cause_pages_nobody_and_a_flood_costs_little(tmp_path: Path) -> None:
    """Two hundred hints in an hour: no page, and no more looks than one hint in five minutes is worth."""
    clock = VirtualClock(epoch=START, jumping=True)
    here = Town(clock=clock, folder=tmp_path, tale=town.story(), epoch=START)
    async with here.running(town.config(tmp_path)) as daemon:
        for n in range(200):
            await clock.sleep_until(START + minutes(60 + n * 0.3))
            assert daemon.hint(provider=None, account="acme", project=None) == 1
        metrics = town.scrape(daemon)
    assert here.told("pager") == []
    assert not [t for t in here.transitions("acme") if t.state is State.FIRING]
    assert town.metric(metrics, "watcher_scheduled_looks_total", account="acme", reason="hint") <= 13 * 4
    assert here.gaps("acme") == here.gaps("beta") == []


async def test_nobody_by_that_name(tmp_path: Path) -> None:
    """What names no configured project means none."""
    clock = VirtualClock(epoch=START, jumping=True)
    here = Town(clock=clock, folder=tmp_path, tale=town.story(), epoch=START)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(START + 60)
        assert daemon.hint(provider="twilio", account=None, project=None) == 0
        assert daemon.hint(provider=None, account="gamma", project=None) == 0
        assert daemon.hint(provider=None, account="acme", project="arena") == 0
        assert daemon.hint(provider=None, account=None, project=None) == 2

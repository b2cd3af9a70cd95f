"""Silences, acknowledgements and repeats in a running daemon, across restarts, and through the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from click.testing import CliRunner
from structlog.testing import capture_logs

from tests.alerts.build import transition
from tests.app import town, world
from tests.conftest import EPOCH
from tests.real.processes import free_port
from watcher.app.daemon import Daemon
from watcher.cli import main
from watcher.clock import HOUR, VirtualClock, sleep
from watcher.errors import Refused
from watcher.model import Commit, State, alert_id
from watcher.store import open_readonly, open_store
from watcher.web import NewAck, NewSilence

PLACE = {"account": "acme", "provider": "agora", "project": "classroom", "product": "Native"}
ALERT = alert_id("VideoFreezing", PLACE)
ALL: dict[str, tuple[str, ...]] = {"rule": ("VideoFreezing",)}


class Day:
    """One long incident, and a daemon that is started anew for each stretch of it."""

    def __init__(self, clock: VirtualClock, folder: Path, *, minutes: float, **more: Any) -> None:
        tale = world.scenario(incidents=[world.incident(1200, minutes, "Native", videoFreezeRate="14%")])
        self.here = world.World(clock=clock, folder=folder, story=tale, epoch=EPOCH)
        self.data = {**world.config(folder), **more}
        self.clock = clock

    async def stretch(self, until: float, *steps: Any) -> list[dict[str, Any]]:
        """Run until `until` seconds after the epoch, doing `steps` after a minute; what fires at the end."""
        daemon = self.here.daemon(self.data)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            await sleep(self.clock, 60)
            for step in steps:
                await step(daemon)
            await self.clock.sleep_until(EPOCH + until)
            found = await world.firing(daemon)
            await daemon.stop()
        return found

    async def scraped(self, until: float, *steps: Any) -> town.Metrics:
        """Likewise; the metrics at the end."""
        found: list[town.Metrics] = []

        async def scrape(daemon: Daemon) -> None:
            await self.clock.sleep_until(EPOCH + until)
            found.append(town.scrape(daemon))

        await self.stretch(until + 1, *steps, scrape)
        return found[0]

    def kinds(self, target: str = "pager") -> list[str]:
        """What the target heard."""
        sender = self.here.senders.get(target)
        return [s.notification.kind for s in sender.accepted] if sender else []


async def silence(daemon: Daemon) -> None:
    """Silence the rule for three hours."""
    assert (await daemon.desk().add_silence(NewSilence(match=ALL, seconds=3 * HOUR, author="kim"))).durable


async def until_resolved(daemon: Daemon) -> None:
    """Silence the rule until its alerts are over."""
    await daemon.desk().add_silence(NewSilence(match=ALL, seconds=30 * HOUR, author="kim", until_resolved=True))


async def expire(daemon: Daemon) -> None:
    """End every silence."""
    for one in (await daemon.viewing.board()).silences.silences:
        await daemon.desk().expire_silence(one.id)


async def acknowledge(daemon: Daemon) -> None:
    """Take every alert in hand."""
    for alert in await world.firing(daemon):
        await daemon.desk().acknowledge(alert["id"], NewAck(author="kim"))


async def test_a_silence_survives_a_restart_and_what_still_fires_after_it_is_said(
    tmp_path: Path, clock: VirtualClock
) -> None:
    """Silent from before the incident; ended by hand after a restart: the page comes, and later its end."""
    day = Day(clock, tmp_path, minutes=120)
    [alert] = await day.stretch(HOUR, silence)
    assert (alert["silenced"], day.kinds()) == (True, [])
    await day.stretch(1.5 * HOUR, expire)
    assert day.kinds() == ["firing"]
    assert "muted until now" in day.here.senders["pager"].accepted[0].notification.text
    await day.stretch(3 * HOUR)
    assert day.kinds() == ["firing", "resolved"]
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    assert {o.dropped for o in reader.obligations()} == {"silenced", ""}
    reader.close()


async def test_a_silence_that_ends_with_its_alert(tmp_path: Path, clock: VirtualClock) -> None:
    """Nothing of the incident is said, and the silence is over with it."""
    day = Day(clock, tmp_path, minutes=40)
    await day.stretch(2 * HOUR, until_resolved)
    assert day.kinds() == []
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    (over,) = reader.silences(0.0)
    reader.close()
    assert EPOCH + HOUR < over.ends_at < EPOCH + 2 * HOUR


async def test_repeats_stop_when_somebody_has_it_in_hand(tmp_path: Path, clock: VirtualClock) -> None:
    """Every half hour, through a restart, until it is acknowledged; its end is told all the same."""
    routes = [{"to": ["pager"], "repeat_interval": "30m"}]
    day = Day(clock, tmp_path, minutes=240, routes=routes)
    await day.stretch(1.3 * HOUR)
    assert day.kinds() == ["firing", "still_firing"]
    await day.stretch(2 * HOUR)
    said = ["firing", *["still_firing"] * 3]
    assert day.kinds() == said
    [alert] = await day.stretch(4 * HOUR, acknowledge)
    assert alert["acknowledged_by"] == "kim"
    assert day.kinds() == said
    await day.stretch(5.5 * HOUR)
    assert day.kinds() == [*said, "resolved"]


async def test_maintenance_by_schedule(tmp_path: Path, clock: VirtualClock) -> None:
    """From 01:00 to 02:00 in Berlin is midnight to one in UTC: what fires in it is said when it is over."""
    window = {"name": "deploy", "match": {"project": "classroom"}, "from": "01:00", "to": "02:00"}
    day = Day(clock, tmp_path, minutes=120, maintenance=[{**window, "time_zone": "Europe/Berlin"}])
    await day.stretch(3 * HOUR)
    assert day.kinds() == ["firing", "resolved"]
    first = day.here.senders["pager"].accepted[0]
    assert EPOCH + HOUR <= first.at <= EPOCH + HOUR + 60


async def test_what_cannot_be_changed_is_refused(tmp_path: Path, clock: VirtualClock) -> None:
    """An alert that does not fire, a silence that is not there."""
    day = Day(clock, tmp_path, minutes=10)

    async def wrong(daemon: Daemon) -> None:
        with pytest.raises(Refused, match="no such alert fires"):
            await daemon.desk().acknowledge("nobody", NewAck(author="kim"))
        with pytest.raises(Refused, match="no such silence"):
            await daemon.desk().expire_silence("nothing")

    await day.stretch(300, wrong)


# ── the commands, without a daemon ───────────────────────────────────────────────────────────────────────────────────


def command(folder: Path, *words: str, code: int = 0) -> str:
    """What `watcher …` prints."""
    result = CliRunner().invoke(main, [*words, "-c", str(folder / "config.yaml")])
    assert result.exit_code == code, result.output
    return result.output


def test_the_commands_work_on_a_state_without_a_daemon(tmp_path: Path) -> None:
    """Add, list, expire, acknowledge and look, in words and as JSON."""
    data = {**world.config(tmp_path), "http": {"listen": f"127.0.0.1:{free_port()}"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(data))
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    fired = transition(State.FIRING, 0)
    store.commit(Commit(transitions=[fired]))
    store.close()
    made = command(
        tmp_path, "silence", "add", "rule=VideoFreezing", "project=a,classroom", "--for", "1h", "--comment", "x"
    )
    id_ = made.split()[0]
    assert made.rstrip().endswith(", one alert that fires now")
    assert "nothing that fires now" in command(tmp_path, "silence", "add", "rule=VideoFrezing", "--for", "1m")
    [shown, _] = json.loads(command(tmp_path, "silence", "list", "--json"))["silences"]
    assert (shown["id"], shown["state"], shown["match"]["project"]) == (id_, "active", ["a", "classroom"])
    assert f"{fired.alert_id} is acknowledged by kim" in command(tmp_path, "ack", fired.alert_id, "--author", "kim")
    [alert] = json.loads(command(tmp_path, "alerts", "--json"))["alerts"]
    assert (alert["silenced"], alert["acknowledged_by"], alert["rule"]) == (True, "kim", "VideoFreezing")
    assert "firing critical VideoFreezing since 2026-01-01T00:00:00Z" in command(tmp_path, "alerts")
    assert "is over" in command(tmp_path, "silence", "expire", id_)
    assert f"{id_} expired" in command(tmp_path, "silence", "list")
    assert "no such silence holds" in command(tmp_path, "silence", "expire", id_, code=1)
    assert "is not a matcher" in command(tmp_path, "silence", "add", "everything", code=2)
    assert "--for" in command(tmp_path, "silence", "add", "rule=x", "--for", "soon", code=2)


MUTING: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "silenced": ({}, (silence,)),
    "maintenance": ({"maintenance": [{"name": "now", "from": "00:00", "to": "24:00"}]}, ()),
    "off_hours": ({"routes": [{"to": ["pager"], "mute": {}}]}, ()),
}


@pytest.mark.parametrize("reason", MUTING)
async def test_every_mute_says_its_reason_in_log_metric_and_record(
    tmp_path: Path, clock: VirtualClock, reason: str
) -> None:
    """With the obligation that it drops; and, as long as it holds, that a beginning is still to be said."""
    more, steps = MUTING[reason]
    day = Day(clock, tmp_path, minutes=240, **{"routes": [{"to": ["pager"]}], **more})
    with capture_logs() as logs:
        found = await day.scraped(1.5 * HOUR, *steps)
    assert day.kinds() == []
    assert [e["reasons"] for e in logs if e["event"] == "obligations_dropped"] == [{reason: 1}]
    assert town.metric(found, "watcher_dropped_obligations_total", target="pager", reason=reason) == 1
    assert town.metric(found, "watcher_held_obligations", target="pager", reason="muted") == 1
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    assert [o.dropped for o in reader.obligations() if o.target == "pager"] == [reason]
    reader.close()


async def test_an_acknowledgement_says_its_reason_in_log_metric_and_record(tmp_path: Path, clock: VirtualClock) -> None:
    """Who took it in hand, and that a repeat is kept back for that."""
    day = Day(clock, tmp_path, minutes=240, routes=[{"to": ["pager"], "repeat_interval": "30m"}])
    await day.stretch(1.3 * HOUR)
    with capture_logs() as logs:
        found = await day.scraped(3 * HOUR, acknowledge)
    assert [(e["alert"], e["author"]) for e in logs if e["event"] == "alert_acknowledged"] == [(ALERT, "kim")]
    assert [e["reasons"] for e in logs if e["event"] == "obligations_held"] == [{"acknowledged": 1}]
    assert town.metric(found, "watcher_held_obligations", target="pager", reason="acknowledged") == 1
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    assert [(ack.alert_id, ack.author) for ack in reader.acks()] == [(ALERT, "kim")]
    reader.close()

"""Whoever was paged asks on: three emulated vendors, a daemon, and the commands as they are typed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.real.processes import command, free_port, running, until_ready
from tests.real.stand import Hook, eventually, hook, listening
from watcher.clock import WallClock, day_start, rfc3339
from watcher.config import load
from watcher.model import Spend
from watcher.store import open_store

TOKEN = "0123456789abcdef0123"
DEMO = Path(__file__).parents[2] / "watcher/demo"
RULES = Path(__file__).parents[2] / "rules"
ROOM, SESSION = r"RM[0-9a-f]{32}", r"2_MX[\w~-]+"
SCENARIOS = {"agora": "scenario.yaml", "vonage": "vonage.yaml", "twilio": "twilio.yaml"}


@dataclass(frozen=True)
class Site:
    """A folder with a configuration, and the vendor that tells of Agora's calls."""

    folder: Path
    agora: str

    def ask(self, *words: str) -> str:
        """What a command prints; it has to succeed."""
        line = [*command(*words), "-c", "config.yaml"]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("call", *words, "--json"))
        return found

    def whole(self, *words: str) -> dict[str, Any]:
        """A call of which everything was asked: on a busy machine the next look may end a reading before that."""
        for _ in range(5):
            found = self.call(*words)
            if not any(note.startswith("not asked") for note in found["notes"]):
                return found
        raise AssertionError(found["notes"])


def served(folder: Path, stack: ExitStack) -> dict[str, str]:
    """The demo's three vendors in real time, on a good day: their addresses."""
    found = {}
    for vendor, scenario in SCENARIOS.items():
        story = yaml.safe_load((DEMO / scenario).read_text())
        (folder / scenario).write_text(yaml.safe_dump({key: v for key, v in story.items() if key != "faults"}))
        port = free_port()
        words = ["emulate", vendor, "--scenario", scenario, "--listen", f"127.0.0.1:{port}"]
        stack.enter_context(running(words, folder=folder, log=f"{vendor}.log"))
        found["vendor" if vendor == "agora" else vendor] = f"http://127.0.0.1:{port}"
    return found


def in_use_since_midnight(config: Path) -> None:
    """A state with spends of today: one without is taken for lost, and what of the day has passed for spent, so that
    late in a day nothing would be left to ask with."""
    loaded = load(config)
    today = day_start(WallClock().now())
    with closing(open_store(loaded.state)) as store:
        for account in loaded.accounts:
            pools = tuple(pool.id for pool in (*account.pools, *account.past_pools, *account.asked_pools))
            store.record_spend(Spend(id=f"{account.name}-1", account=account.name, pools=pools, at=today, skew=0.0))


def named(sink: Hook, pattern: str) -> Iterator[str]:
    """What pages name."""
    for body in sink.bodies:
        yield from re.findall(pattern, json.dumps(body))


@pytest.mark.timeout(180)
async def test_whoever_was_paged_asks_on(tmp_path: Path) -> None:
    """The room and the session that pages name, and a channel: who was in them. Text for people, JSON for programs."""
    async with hook() as sink:
        with ExitStack() as stack:
            vendors = served(tmp_path, stack)
            text = (DEMO / "config.yaml").read_text()
            state = f"sqlite:///{tmp_path}/state.db"
            for key, value in {**vendors, "hook": sink.url, "rules": str(RULES), "state": state}.items():
                text = text.replace("{" + key + "}", value)
            port = free_port()
            text += f"http: {{listen: '127.0.0.1:{port}', token: {TOKEN}}}\n"
            (tmp_path / "config.yaml").write_text(text)
            in_use_since_midnight(tmp_path / "config.yaml")
            for address in vendors.values():
                await eventually(partial(listening, int(address.rpartition(":")[2])))
            stack.enter_context(running(["run", "-c", "config.yaml"], folder=tmp_path))
            await until_ready(port)
            await eventually(lambda: any(named(sink, ROOM)) and any(named(sink, SESSION)), seconds=60)
            site = Site(tmp_path, vendors["vendor"])

            room = next(named(sink, ROOM))
            found = site.call("desk", room)
            assert (found["call"], found["provider"], found["requests"]) == (room, "twilio", 2)
            endings = {stay["ending"] for stay in found["stays"] if stay["failed"]}
            assert any(re.fullmatch(r"\d{5} \w+", ending) for ending in endings), "the page was about it"
            printed = site.ask("call", "desk", room)
            assert all(f"failed: {ending}" in printed for ending in endings)
            alone = site.call("desk", room, "--user", found["stays"][0]["user"])
            assert [stay["user"] for stay in alone["stays"]] == [found["stays"][0]["user"]]

            session = next(named(sink, SESSION))
            found = site.call("rooms", session)
            assert (found["channel"], found["provider"]) == (session, "vonage")
            assert all("video_packet_loss_ratio" in stay["values"] for stay in found["stays"])
            assert max(minute["values"].get("video_packet_loss_ratio", 0.0) for minute in found["minutes"]) > 0.05

            async with httpx.AsyncClient(auth=("demo-customer", "demo-secret"), base_url=site.agora) as web:
                now = int(WallClock().now())
                asked: dict[str, Any] = {
                    "start_ts": now - 4200,
                    "end_ts": now - 600,
                    "appid": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                    "page_size": 100,
                }
                listed = (await web.get("/beta/analytics/call/lists", params=asked)).json()["call_lists"]
            over = next(c for c in listed if c["finished"] and c["destroyed_ts"] - c["created_ts"] >= 300)
            at = rfc3339(over["destroyed_ts"] - 120) or ""
            found = site.whole("acme", over["cname"], "--at", at, "--requests", "40")
            assert (found["call"], found["provider"]) == (over["call_id"], "agora")
            assert found["users"] >= over["call_pcu"]
            assert {"users", "video_freeze_ratio"} <= set(found["minutes"][-1]["values"])
            assert all("video_packet_loss_ratio" in stay["values"] for stay in found["stays"])
            assert {group["dimension"] for group in found["groups"]} >= {"sdk", "network", "country"}
            words = ("groups", "acme", "video_freeze_ratio", "--product", "Native", "--by", "sdk")
            assert "4.2.1" in site.ask(*words)
            days = json.loads(site.ask(*words, "--json"))
            assert (days["requests"], days["counts"]) == (2, "seconds")
            assert len(days["groups"]) > 2
    assert TOKEN not in (tmp_path / "watcher.log").read_text()
    assert "user-" not in (tmp_path / "watcher.log").read_text(), "names of users are not logged"

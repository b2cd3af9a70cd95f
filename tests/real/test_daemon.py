"""The whole way in real life: a vendor over HTTP, mail by SMTP, a web hook, Prometheus, signals; at rate 1."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.real.processes import LOG, command, ended, program
from tests.real.stand import CUSTOMER, HIDDEN, RULES, SECRETS, Stand, eventually, hook, mailbox, story

FROZEN = re.compile(r"\b1[345]\.?\d* ?%")
"""The value of the incident, which varies a little, as messages write it."""


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    """A folder with everything a daemon needs, an incident under way at the vendor."""
    found = Stand(tmp_path)
    found.write_story(story())
    return found


async def test_from_the_vendor_to_the_pager_and_to_prometheus(stand: Stand) -> None:
    """Within seconds a page arrives by mail and web hook, Prometheus has the numbers, and no secret is anywhere."""
    with mailbox() as box:
        async with hook() as pager, stand.vendor():
            stand.targets = {"mail": box.url, "pager": pager.url}
            stand.write_config()
            async with stand.daemon() as process, stand.prometheus() as prometheus:
                await eventually(lambda: box.mails and pager.bodies, seconds=20)
                await _prometheus_has_it(prometheus)
                assert_page_is_clean(await stand.metrics())
                for path in ("/healthz", "/readyz"):
                    assert (await stand.get(path)).status_code == 200
                await stand.stops(process)
    assert_mail(box.mails[0])
    (page,) = pager.bodies
    assert page["title"] == "[FIRING] VideoFreezing: classroom, Native"
    assert FROZEN.search(page["message"])
    assert_log_is_json_without_secrets(stand)
    for body in (page["message"], page["title"], str(box.mails[0])):
        assert not any(secret in body for secret in HIDDEN)


def assert_mail(mail: Any) -> None:
    """Subject, a plain part and an HTML part that say the same."""
    assert mail["subject"] == "[FIRING] VideoFreezing: classroom, Native"
    assert "oncall@example.com" in mail["to"]
    assert [part.get_content_type() for part in mail.walk() if part.get_content_maintype() == "image"] == ["image/png"]
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert page is not None
    text, markup = plain.get_content(), page.get_content()
    assert "<" in markup
    for body in (text, markup):
        assert "VideoFreezing" in body
        assert "classroom" in body
        assert FROZEN.search(body), body
    assert "<b>" not in text


async def _prometheus_has_it(prometheus: str) -> None:
    """What the daemon measured and how it is, by Prometheus' own API."""

    async def query(expression: str) -> list[Any]:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{prometheus}/api/v1/query", params={"query": expression})
        found: list[Any] = answer.json()["data"]["result"]
        return found

    freeze = 'watcher_video_freeze_ratio{account="acme",provider="agora",project="classroom",product="Native"}'

    async def freezes() -> bool:
        return any(float(row["value"][1]) > 0.1 for row in await query(freeze))

    await eventually(freezes)
    for expression in (
        'up{job="watcher"} == 1',
        "watcher_video_freeze_ratio_timestamp_seconds",
        'watcher_account_up{account="acme"} == 1',
        'watcher_alerts{state="firing",severity="critical"} == 1',
        'watcher_looks_total{account="acme",signal="video_freeze_ratio",outcome="ok"} > 0',
        'watcher_quota_spent_requests{window="day"} > 0',
        'watcher_notifications_total{outcome="sent"} == 1',
        "watcher_query_data_age_seconds < 300",
        "process_resident_memory_bytes > 0",
    ):

        async def there(expression: str = expression) -> bool:
            return bool(await query(expression))

        await eventually(there)


def assert_page_is_clean(metrics: str) -> None:
    """`promtool check metrics` has nothing to say, and no secret is on the page."""
    checked = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"],
        input=metrics,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert not any(secret in metrics for secret in HIDDEN)


def assert_log_is_json_without_secrets(stand: Stand) -> None:
    """One JSON object a line, with the changes of state; no secret in any file but those that are meant to hold one."""
    events = [event["event"] for event in stand.events()]
    assert {"listening", "running", "stopping", "stopped"} <= set(events)
    assert not any(event["level"] == "error" for event in stand.events())
    for path in stand.folder.rglob("*"):
        if path.is_file() and path.suffix != ".url" and path.name != "world.yaml":
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in HIDDEN), path


def test_a_missing_program_fails_with_what_to_do() -> None:
    """It never skips: the command that installs the program is the failure."""
    with pytest.raises(AssertionError, match="Run: apt-get install --no-install-recommends prometheus"):
        program("prometheus-that-is-not-there", "prometheus")


# ── signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_sigterm_with_a_target_that_hangs(stand: Stand) -> None:
    """A message in flight does not hold the stop up; it is sent again by the next start, with the same id."""
    async with hook() as pager, stand.vendor():
        stand.targets = {"pager": pager.url}
        stand.write_config()
        pager.hangs = True
        async with stand.daemon() as process:
            await eventually(lambda: pager.asked)
            await stand.stops(process)
        pager.hangs = False
        async with stand.daemon() as process:
            await eventually(lambda: pager.bodies)
            await stand.stops(process)
    assert pager.titles() == ["[FIRING] VideoFreezing: classroom, Native"]


async def test_sigterm_with_a_vendor_that_hangs(stand: Stand) -> None:
    """A look that gets no answer is given up in time."""
    stand.write_story({**story(), "faults": [{"kind": "timeout"}]})
    async with hook() as pager, stand.vendor():
        stand.targets = {"pager": pager.url}
        stand.write_config()

        async def asked() -> bool:
            return bool((await stand.vendor_report())["quotas"])

        async with stand.daemon() as process:
            await eventually(asked)
            await stand.stops(process)
    assert pager.bodies == []


async def test_sigint_stops_too(stand: Stand) -> None:
    """Control-C drains as SIGTERM does."""
    async with stand.vendor():
        stand.write_config(targets={}, routes=[])
        async with stand.daemon() as process:
            process.send_signal(signal.SIGINT)
            assert await ended(process, seconds=10) == 0


async def test_sighup_reads_everything_again(stand: Stand) -> None:
    """A bad file keeps what runs and says so; a changed threshold counts from now; a removed rule ends its alert."""
    async with hook() as pager, stand.vendor():
        stand.targets = {"pager": pager.url}
        stand.write_config()
        async with stand.daemon() as process:
            await eventually(lambda: pager.bodies)

            stand.write_rules(RULES.replace("video_freeze_ratio", "video_freze_ratio"))
            process.send_signal(signal.SIGHUP)
            await eventually(lambda: stand.logged("reload_refused"))
            (refused,) = stand.logged("reload_refused")
            assert refused["level"] == "error"
            assert re.match(r"rules\.yaml:4:13: .*video_freze_ratio", refused["problems"][0])
            metrics = await stand.metrics()
            assert 'watcher_config_reloads_total{outcome="failure"} 1.0' in metrics
            assert 'watcher_alerts{severity="critical",state="firing"} 1.0' in metrics

            stand.write_rules(RULES.replace("above: 5%", "above: 50%").replace("VideoFreezing", "VideoStanding"))
            process.send_signal(signal.SIGHUP)
            await eventually(lambda: len(pager.bodies) == 2)
            assert 'watcher_config_reloads_total{outcome="success"} 1.0' in await stand.metrics()
            assert stand.logged("reloaded")

            stand.write_config(http={"listen": "127.0.0.1:0"})
            process.send_signal(signal.SIGHUP)
            await eventually(lambda: stand.logged("needs_restart"))
            assert (await stand.get("/readyz")).status_code == 200
            await stand.stops(process)
    firing, resolved = pager.bodies
    assert firing["title"] == "[FIRING] VideoFreezing: classroom, Native"
    assert resolved["title"] == "[RESOLVED] VideoFreezing: classroom, Native"
    assert "why: the rule or its account was changed or removed" in resolved["message"]


async def test_a_second_daemon_on_the_same_state_exits_2(stand: Stand) -> None:
    """It says who holds the state, and leaves that one alone."""
    async with stand.vendor():
        stand.write_config(targets={}, routes=[])
        async with stand.daemon() as process:
            second = subprocess.run(
                command("run", "-c", "config.yaml"),
                cwd=stand.folder,
                env=dict(SECRETS),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert second.returncode == 2
            assert f"is held by process {process.pid}" in second.stderr.splitlines()[-1]
            assert "Traceback" not in second.stderr
            assert (await stand.get("/readyz")).status_code == 200
            await stand.stops(process)


# ── hostile answers over a real wire ─────────────────────────────────────────────────────────────────────────────────


async def test_a_body_of_200_megabytes(stand: Stand) -> None:
    """It is cut off at the limit: the daemon goes on, says why it does not see, and does not grow."""
    stand.write_story({**story(), "faults": [{"kind": "huge"}]})
    async with stand.vendor():
        stand.write_config(targets={}, routes=[])
        async with stand.daemon() as process:

            async def noticed() -> bool:
                return 'reason="too_large"} 1.0' in await stand.metrics()

            await eventually(noticed)
            await anyio.sleep(1)
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
            assert (await stand.get("/healthz")).status_code == 200
            await stand.stops(process)
    assert [event["reason"] for event in stand.logged("account_not_seen")] == ["too_large"]
    assert peak < 150, f"{peak:.0f} MB"


async def test_wrong_credentials(stand: Stand) -> None:
    """Ready all the same, since a restart would not help; the account is named in log and metric, its id is not."""
    tale = story()
    tale["accounts"][0]["customer_secret"] = "another"
    stand.write_story(tale)
    async with stand.vendor():
        stand.write_config(targets={}, routes=[])
        async with stand.daemon() as process:

            async def noticed() -> bool:
                return (
                    'watcher_account_blind{account="acme",provider="agora",reason="auth"} 1.0' in await stand.metrics()
                )

            await eventually(noticed)
            assert (await stand.get("/readyz")).status_code == 200
            await stand.stops(process)
    (event,) = stand.logged("account_not_seen")
    assert (event["level"], event["account"], event["reason"]) == ("error", "acme", "auth")
    assert CUSTOMER not in (stand.folder / LOG).read_text()

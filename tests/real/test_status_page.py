"""The whole way in real processes: emulated vendor, daemon, Chromium; a page that was open sees the alert come."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.stage import PHONE, chromium, opened
from tests.real.processes import free_port, running, until_ready
from tests.real.stand import SECRETS, Stand, hook, story
from tests.real.test_api import TOKEN, ask

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(150)
async def test_an_alert_comes_and_is_silenced_from_a_telephone(tmp_path: Path) -> None:
    """Silenced on the page, listed by the command, and ended by the command, which the page shows."""
    (tmp_path / "token").write_text(TOKEN)
    stand = Stand(tmp_path)
    stand.write_story(story())
    async with hook() as sink:
        stand.targets = {"hook": sink.url}
        stand.write_config(http={"listen": f"127.0.0.1:{stand.port}", "token": f"FILE {tmp_path}/token"})
        async with stand.vendor(), stand.daemon() as process, chromium() as browser:
            url = f"http://127.0.0.1:{stand.port}"
            async with opened(browser, url, refused=True, **PHONE) as (page, _):
                await expect(page.locator("h1")).to_have_text("1 alert fires", timeout=40_000)
                await expect(page.locator("article.alert")).to_contain_text("Native · classroom · acme")
                await expect(page.locator("article.alert .firing")).to_be_visible()
                await expect(page.locator(".sparks svg").first).to_be_visible()
                await page.get_by_role("button", name="Silence", exact=True).tap()
                dialog = page.get_by_role("dialog", name="Silence")
                await dialog.get_by_label("Your name").fill("kim")
                await dialog.get_by_role("button", name="Silence").tap()
                await dialog.get_by_label("Token").fill(TOKEN)
                await dialog.get_by_role("button", name="Silence").tap()
                await expect(page.locator("#alerts")).to_contain_text("silenced", timeout=20_000)
                listed = ask(tmp_path, "silence", "list")
                assert "active" in listed.stdout
                assert "by kim" in listed.stdout
                assert ask(tmp_path, "silence", "expire", listed.stdout.split()[0]).returncode == 0
                await expect(page.locator("#silences")).to_contain_text("Nothing is silenced", timeout=20_000)
                await page.goto(f"{url}/rules/VideoFreezing")
                await expect(page.locator("main")).to_contain_text("Once the condition has held")
            await stand.stops(process)
    assert TOKEN not in stand.log()
    assert not stand.logged("page_failed")


async def test_a_listener_that_others_reach_is_refused_without_a_way_to_know_them(tmp_path: Path) -> None:
    """Exit 2 with the reason; with a token it starts, and `/metrics` has its own address without one.

    `127.1` is loopback to the system, and nothing that the daemon would vouch for: so nothing here is really open.
    """
    stand = Stand(tmp_path)
    stand.targets = {"pager": "json://127.0.0.1:1/"}
    host = "127.0.0.1"
    open_ = {"listen": f"127.1:{stand.port}"}
    stand.write_config(http=open_)
    with running(["run", "-c", "config.yaml"], folder=tmp_path, environment=SECRETS) as process:
        assert process.wait(30) == 2
    assert "can be reached from elsewhere" in stand.log()
    (tmp_path / "token").write_text(TOKEN)
    metrics = free_port()
    stand.write_config(http={**open_, "token": f"FILE {tmp_path}/token", "metrics_listen": f"{host}:{metrics}"})
    async with stand.daemon():
        await until_ready(metrics)
        assert (await stand.get("/")).status_code == 200, "the machine itself"
        assert "watcher_build_info" in _get(metrics, "/metrics", host="prometheus.example.com")
        assert " 404 " in _get(metrics, "/", host=host).splitlines()[0]
        assert " 404 " in _get(metrics, "/api/v1/status", host=host).splitlines()[0]
        assert " 401 " in _get(stand.port, "/metrics", host="prometheus.example.com").splitlines()[0]


def _get(port: int, path: str, *, host: str) -> str:
    """A bare request that names a host."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: wire.recv(65536), b"")).decode()

"""The status page in Debian's Chromium: what a person sees and does, and what the page must never do."""

from __future__ import annotations

import re

import anyio
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.stage import PHONE, TOKEN, Site, accessible, opened, overflows
from tests.real.stand import eventually
from tests.web import boards
from watcher.web import NewAck, NewSilence, shapes

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

ALERT = f"{0:016x}"
HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>{{7*7}}&amp;@everyone"
UNSEEN = "acme cannot be seen: the vendor refuses the credentials"
BLIND = shapes.Trouble(kind="blind", what=UNSEEN, since=boards.at(1200))


async def test_the_first_screen_says_what_fires_since_when_how_bad_and_who_is_affected(
    browser: Browser, site: Site
) -> None:
    """And what cannot be seen, on a telephone, without scrolling; times are the viewer's, UTC where one points."""
    site.shows(alerts=1, troubles=(BLIND,))
    async with opened(browser, site.url, timezone_id="Asia/Kolkata", **PHONE) as (page, _):
        await expect(page.locator("h1")).to_have_text("1 alert fires")
        await expect(page).to_have_title("(1) watcher")
        first = page.locator("article.alert")
        for words in ("critical", "14.3%", "limit 5%", "263 users", "WebRTC · project-0 · acme", "SDK 4.2.1 (WebRTC)"):
            await expect(first).to_contain_text(words)
        since = page.locator("#now time").first
        await expect(since).to_have_text("15:15")  # 09:45 UTC
        assert await since.get_attribute("title") == "2026-01-01 09:45:00 UTC"
        await expect(page.locator("#zone")).to_have_text(re.compile("Asia/(Kolkata|Calcutta)"))
        await expect(page.locator(".troubles")).to_contain_text(UNSEEN)
        for shown in ("h1", ".troubles", "article.alert svg.chart", "article.alert button"):
            await expect(page.locator(shown).first).to_be_in_viewport()


async def test_an_alert_appears_and_goes_without_a_reload(browser: Browser, site: Site) -> None:
    """With title, icon and a word for screen readers; what the reader had opened stays open, the focus stays."""
    site.shows(alerts=0)
    async with opened(browser, site.url) as (page, _):
        await expect(page.locator("h1")).to_have_text("Nothing fires")
        await page.evaluate("window.still = true")
        await page.locator("#rules summary").click()
        site.shows(alerts=2, rules=9)
        await expect(page.locator("h1")).to_have_text("2 alerts fire", timeout=15_000)
        await expect(page.locator("article.alert")).to_have_count(2)
        await expect(page.locator("#news")).to_have_text("2 alerts fire")
        await expect(page.locator("#rules li")).to_have_count(9)
        assert await page.locator("#rules details").evaluate("one => one.open")
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
        await expect(page).to_have_title("(2) watcher")
        assert "firing" in (await page.locator("link[rel=icon]").get_attribute("href") or "")
        site.shows(alerts=0)
        await expect(page.locator("h1")).to_have_text("Nothing fires", timeout=15_000)
        assert await page.evaluate("window.still") is True


async def test_silence_and_acknowledge_from_a_telephone(browser: Browser, site: Site) -> None:
    """The token is asked once, a wrong one is told so, and then the browser stays signed in."""
    site.shows(alerts=1)
    async with opened(browser, site.url, refused=True, **PHONE) as (page, _):
        await page.get_by_role("button", name="Silence", exact=True).tap()
        dialog = page.get_by_role("dialog", name="Silence")
        await dialog.get_by_label("Your name").fill("kim")
        await dialog.get_by_label("For").select_option("14400")
        await dialog.get_by_role("button", name="Silence").tap()
        await dialog.get_by_label("Token").fill("a wrong token that is long")
        await dialog.get_by_role("button", name="Silence").tap()
        await expect(dialog.get_by_role("alert")).to_have_text("That is not the token.")
        await dialog.get_by_label("Token").fill(TOKEN)
        await dialog.get_by_role("button", name="Silence").tap()
        await expect(dialog).to_be_hidden()
        match: dict[str, tuple[str, ...]] = {"alert": (ALERT,)}
        assert site.views.wishes == [NewSilence(match=match, seconds=14_400, author="kim", until_resolved=True)]
        await page.get_by_role("button", name="Acknowledge").tap()
        dialog = page.get_by_role("dialog", name="Acknowledge")
        await expect(dialog.get_by_label("Your name")).to_have_value("kim")
        await expect(dialog.get_by_label("Token")).to_be_hidden()
        await dialog.get_by_role("button", name="Acknowledge").tap()
        await expect(dialog).to_be_hidden()
        assert site.views.wishes[1:] == [(ALERT, NewAck(author="kim"))]
        assert TOKEN not in await page.content()
        assert TOKEN not in str(await page.evaluate("[document.cookie, {...localStorage}, {...sessionStorage}]"))


async def test_a_silence_is_made_by_labels_and_ended(browser: Browser, site: Site) -> None:
    """`label=value,value` words, quoted where a value has a space; what is none is said, and nothing sent."""
    site.shows(alerts=1, channel="room")
    async with opened(browser, site.url, refused=True) as (page, _):
        await page.get_by_role("button", name="New silence").click()
        dialog = page.get_by_role("dialog", name="Silence")
        await dialog.get_by_label("What").fill('rule=A,B channel="room 4=1"')
        await dialog.get_by_label("Your name").fill("kim")
        await dialog.get_by_role("button", name="Silence").click()
        await dialog.get_by_label("Token").fill(TOKEN)
        await dialog.get_by_role("button", name="Silence").click()
        await expect(dialog).to_be_hidden()
        assert site.views.wishes[0].match == {"rule": ("A", "B"), "channel": ("room 4=1",)}
        await page.get_by_role("button", name="New silence").click()
        await dialog.get_by_label("What").fill("nonsense")
        await dialog.get_by_role("button", name="Silence").click()
        await expect(dialog.get_by_role("alert")).to_have_text("Write it like rule=VideoFreezing.")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="End").click()
        await eventually(lambda: site.views.wishes[1:] == ["5117ce"])


@pytest.mark.parametrize("path", ["/", f"/alerts/{ALERT}", "/rules/VideoFreezing0"])
async def test_hostile_channel_names_are_shown_as_text(browser: Browser, site: Site, path: str) -> None:
    """In every place of every page: no element is made of them, nothing runs, nothing is asked for."""
    site.shows(alerts=14, channel=HOSTILE)
    async with opened(browser, site.url + path) as (page, _):
        await expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>")
        await expect(page.locator("main")).to_contain_text("{{7*7}}&amp;@everyone")
        await anyio.sleep(0.3)
        assert await page.locator("img").count() == 0
        assert await page.locator("main script").count() == 0


PLACES: dict[str, dict[str, object]] = {
    "/": {"alerts": 14, "troubles": (BLIND,), "channel": "room-1"},
    "/?calm": {"alerts": 0},
    f"/alerts/{ALERT}": {"alerts": 1},
    "/alerts/none": {},
    "/rules/VideoFreezing0": {"alerts": 1},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PLACES)
async def test_axe_finds_nothing(browser: Browser, site: Site, path: str, scheme: str) -> None:
    """On every page, in light and dark; all that can be opened is open."""
    site.shows(**PLACES[path])
    async with opened(browser, site.url + path, refused=True, color_scheme=scheme) as (page, _):
        await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert await accessible(page) == []
        if path == "/":
            await page.get_by_role("button", name="Silence", exact=True).first.click()
            assert await accessible(page) == []


@pytest.mark.parametrize("width", [320, 390, 768, 1920])
async def test_nobody_scrolls_sideways(browser: Browser, site: Site, width: int) -> None:
    """From the smallest telephone on, with names that have no place to break."""
    site.shows(alerts=14, series=40, channel="x" * 64, troubles=(BLIND,))
    for path in ("/", f"/alerts/{ALERT}", "/rules/VideoFreezing0"):
        async with opened(browser, site.url + path, viewport={"width": width, "height": 700}) as (page, _):
            await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert not await overflows(page), path


async def test_it_is_readable_without_a_script(browser: Browser, site: Site) -> None:
    """Everything but the live updates and the buttons, which nothing would answer; times are UTC and say so."""
    site.shows(alerts=1, troubles=(BLIND,), channel="room")
    async with opened(browser, site.url, java_script_enabled=False) as (page, _):
        await expect(page.locator("h1")).to_have_text("1 alert fires")
        await expect(page.locator("#now")).to_contain_text("since 09:45 UTC")
        await expect(page.locator("article.alert svg.chart")).to_be_visible()
        for name in ("signals", "accounts", "schedule", "rules", "targets", "silences"):
            await expect(page.locator(f"#{name} h2")).to_be_visible()
        assert await page.get_by_role("button").count() == 0
        await page.get_by_role("link", name="VideoFreezing0").first.click()
        await expect(page.locator("main")).to_contain_text("[FIRING] VideoFreezing0")


async def test_the_keyboard_goes_from_what_fires_to_what_can_be_done(browser: Browser, site: Site) -> None:
    """In the order of the page; a dialog takes the focus and gives it back."""
    site.shows(alerts=1)
    async with opened(browser, site.url) as (page, _):
        order = ["Skip to the alerts", "watcher", "Signals", "Accounts", "Rules", "Delivery", "Silences"]
        order += ["VideoFreezing0", "Acknowledge", "Silence"]
        assert [await _tab(page) for _ in order] == order
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await page.evaluate("document.activeElement.closest('dialog') !== null")
        await page.keyboard.press("Escape")
        assert await _focused(page) == "Silence"


async def _tab(page: Page) -> str:
    await page.keyboard.press("Tab")
    return await _focused(page)


async def _focused(page: Page) -> str:
    text: str = await page.evaluate("document.activeElement.textContent")
    return text.strip()


async def test_a_daemon_that_stops_answering_is_said(browser: Browser, site: Site) -> None:
    """The page never looks alive when it is not: no data is not health."""
    site.shows(alerts=0)
    async with opened(browser, site.url, refused=True) as (page, _):
        await expect(page.locator("#pulse")).to_have_text("live")
        await page.context.set_offline(True)
        await expect(page.locator("#pulse")).to_contain_text("no answer for", timeout=30_000)
        await page.context.set_offline(False)
        await expect(page.locator("#pulse")).to_have_text("live", timeout=15_000)

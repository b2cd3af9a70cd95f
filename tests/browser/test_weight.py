"""How much is sent: the page at its largest, and what keeping it current costs. Bytes on the wire, headers included."""

from __future__ import annotations

import anyio
import pytest
from playwright.async_api import Browser, expect

from tests.browser.stage import Site, opened
from tests.web import boards

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

MAX_PAGE = 300_000
MAX_MINUTE = 50_000
LARGEST = {"alerts": 200, "series": 500, "rules": 100, "channel": "room-1"}


async def test_the_largest_page_is_light(browser: Browser, site: Site) -> None:
    """200 alerts and 500 charts, with style, script, icon and the first poll."""
    site.shows(**LARGEST)
    async with opened(browser, site.url) as (page, seen):
        await expect(page.locator("h1")).to_have_text("200 alerts fire")
        await expect(page.locator("svg.chart, .rows.alerts svg")).to_have_count(200)
        await expect(page.locator(".sparks svg")).to_have_count(500)
        await page.wait_for_load_state("networkidle")
        plain = len(await (await page.request.get(site.url)).body())
    print(f"page with 200 alerts and 500 charts: {seen.received / 1000:.0f} kB sent, {plain / 1000:.0f} kB unpacked")
    assert 20_000 < seen.received < plain < MAX_PAGE


@pytest.mark.parametrize("looks", [False, True], ids=["nothing at all", "looks go on"])
async def test_a_minute_in_which_nothing_changes_costs_little(browser: Browser, site: Site, looks: bool) -> None:
    """Twelve polls of the largest page. Where looks go on and nothing fires, each brings every chart a new point."""
    size = {**LARGEST, "alerts": 0 if looks else 200}
    site.shows(**size)
    async with opened(browser, "about:blank") as (page, seen):
        await page.clock.install(time=boards.END)
        await page.goto(site.url)
        await expect(page.locator("#pulse")).to_have_text("live")
        await page.wait_for_load_state("networkidle")
        first, asked = seen.received, site.views.asked
        for poll in range(12):
            if looks and poll % 4 == 0:
                site.shows(**size, end=boards.END + 20 * (1 + poll // 4))
            await page.clock.run_for(5000)
            with anyio.fail_after(20):
                while site.views.asked <= asked:  # noqa: ASYNC110 - the browser has no event to wait for
                    await anyio.sleep(0.02)
            await page.wait_for_load_state("networkidle")
            asked = site.views.asked
        spent = seen.received - first
    print(f"a minute, {'looks go on' if looks else 'nothing changes'}: {spent / 1000:.1f} kB")
    assert 12 * 100 < spent < MAX_MINUTE

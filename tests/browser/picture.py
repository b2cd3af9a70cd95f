"""`make picture`: the screenshot of the README, of a real daemon on the emulated vendor; nothing in it is staged.

A telephone at night beside a desk at day, in one small file.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
from PIL import Image
from playwright.async_api import Browser, expect

from tests.app import world
from tests.browser.stage import PHONE, TOKEN, chromium
from tests.real.stand import Stand, hook, story
from watcher.demo import shipped_rules

_GAP = 28  # pixels between the two
_DESK = {"viewport": {"width": 1100, "height": 844}}
_COLOURS = 128


async def picture(path: Path) -> None:
    """Start everything, wait until two alerts fire, and draw."""
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(Path(folder))
        (stand.folder / "token").write_text(TOKEN)
        stand.write_story(_story())
        async with hook() as sink:
            stand.targets = {"oncall": sink.url}
            stand.write_config(
                http={"listen": f"127.0.0.1:{stand.port}", "token": f"FILE {folder}/token"},
                rules=[str(shipped_rules() / "agora.yaml")],
            )
            async with stand.vendor(), stand.daemon(), chromium() as browser:
                url = f"http://127.0.0.1:{stand.port}"
                night = await _shot(browser, url, color_scheme="dark", **PHONE)
                day = await _shot(browser, url, color_scheme="light", **_DESK)
    whole = Image.new("RGB", (night.width + _GAP + day.width, day.height), "white")
    whole.paste(night, (0, 0))
    whole.paste(day, (night.width + _GAP, 0))
    whole.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)


def _story() -> dict[str, Any]:
    """Two incidents that go on, and one that is over."""
    tale = story()
    started = {"start": "-21m", "duration": "2h"}
    tale["incidents"] = [
        world.incident(0, 0, "WebRTC", videoFreezeRate="14%") | started,
        world.incident(0, 0, "Native", networkDelay="13%") | started | {"start": "-9m"},
        world.incident(0, 0, "Native", audioFreezeRate="11%") | {"start": "-44m", "duration": "9m"},
    ]
    return tale


async def _shot(browser: Browser, url: str, **context: Any) -> Image.Image:
    page = await browser.new_page(locale="en-GB", **context)
    await page.goto(url)
    await expect(page.locator("h1")).to_have_text("2 alerts fire", timeout=60_000)
    await expect(page.locator("#pulse")).to_have_text("live")
    await expect(page.locator(".sparks svg")).to_have_count(9, timeout=60_000)
    raw = await page.screenshot()
    await page.close()
    return Image.open(io.BytesIO(raw)).convert("RGB")


if __name__ == "__main__":
    anyio.run(picture, Path(sys.argv[1]))
